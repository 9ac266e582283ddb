"""The pictures in README and docs that show the nano models: `python -m bench.pictures`, after `make eval`.

The report on a screen and on a phone, the experts' load, `moe-eval view` while answers come in (stored ones, four a
second), and `moe-eval demo` after a question, two experts switched off. Needs Chromium and the extras [view] and [demo].
"""

import argparse
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.browser import CHROMIUM, open_browser
from moe_eval.runs.records import RunRecord, read_record, write_record

__all__ = ["PICTURES", "play_back"]

SPARSE, DENSE = "moe-llava-nano", "llava-nano"
WIDTH = 1380
"""Of figures, in pixels."""


def report(runs: Path, out: Path) -> None:
    """`report.png` and, in dark, `report-phone.png`."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        _evaluate(
            "report", *(str(runs / name) for name in (DENSE, SPARSE, f"{SPARSE}--image=grey")), "--out", str(page)
        )
        with open_browser() as browser:
            browser.open(page)
            browser.screenshot(out / "report.png")
            browser.prefer("dark")
            browser.open(page, 390, 844)
            browser.screenshot(out / "report-phone.png")


def expert_load(runs: Path, out: Path) -> None:
    """`expert-load.png`, of POPE."""
    from PIL import Image

    with TemporaryDirectory() as folder:
        _evaluate("figures", str(runs / SPARSE / "pope"), "--figure", "expert-load", "--format", "png", "--out", folder)
        (figure,) = Path(folder).rglob("*.png")
        with Image.open(figure) as picture:
            height = round(picture.height * WIDTH / picture.width)
            picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS).save(out / "expert-load.png")


def view(runs: Path, out: Path) -> None:
    """`view.png`: the dense model's run of POPE is finished, half of the sparse one's is there."""
    with TemporaryDirectory() as folder:
        real = Path(folder) / "real"
        shutil.copytree(runs / DENSE / "pope", real / DENSE / "pope")
        playing = threading.Thread(
            target=play_back, args=(runs / SPARSE / "pope", real / SPARSE / "pope", 299, 60, 0.25)
        )
        playing.start()
        with _served("view", str(real)) as address, open_browser() as browser:
            browser.resize(860, 760)
            browser.call("Page.navigate", url=address)
            playing.join()
            browser.wait("document.body.textContent.includes('299 of 594')")
            browser.wait("document.body.textContent.includes('so far, of')")
            browser.screenshot(out / "view.png")


def play_back(run: Path, to: Path, answers: int, slowly: int, seconds: float) -> None:
    """The first answers of a finished run into a folder, as if it were under way; the last of them one by one."""
    to.mkdir(parents=True)
    record = read_record(RunRecord, run / "run.json")
    last = record.sessions[-1].model_copy(
        update={"started": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()), "answered": None, "seconds": None}
    )
    write_record(record.model_copy(update={"sessions": [last]}), to / "run.json")
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)[:answers]
    with (to / "responses.jsonl").open("w") as journal:
        for number, line in enumerate(lines):
            journal.write(line)
            if number >= answers - slowly:
                journal.flush()
                time.sleep(seconds)


def demo(runs: Path, out: Path) -> None:
    """`demo.png`: the question is asked again without two experts, and the pointer is on a patch."""
    with _served("demo", SPARSE) as address, open_browser() as browser:
        browser.resize(1280, 890)
        browser.call("Page.navigate", url=address)
        browser.click("#ask")
        browser.wait("document.querySelectorAll('.way').length === 1")
        for number, moves in enumerate((2, 5)):  # one expert of the first sparse layer, one of the second
            browser.click("#off-0 input")
            for _ in range(moves):
                browser.press("ArrowDown")
            browser.press("Enter")
            chosen = "[...document.querySelectorAll('#off-0 .token, #off-0 [class*=token]')].length"
            browser.wait(f"{chosen} > {number}")
        browser.wait("document.querySelector('#chat-0').textContent.includes('before: ')")
        time.sleep(3)  # the answer without the second expert
        browser.evaluate("document.activeElement.blur()")  # closes the list of experts
        browser.evaluate("document.querySelector('#chat-0').scrollIntoView({block: 'start'})")
        browser.point_at("#way-0 .patch:nth-of-type(27)")
        time.sleep(0.5)
        browser.screenshot(out / "demo.png")


@contextmanager
def _served(*arguments: str) -> Iterator[str]:
    """The address of a page that moe-eval serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moe_eval", *arguments, "--port", str(port)])
    try:
        _wait_for(server, port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if server.poll() is not None:
                sys.exit("bench.pictures: no page to take a picture of; the line above says why")
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _evaluate(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "moe_eval", *arguments], check=True)


PICTURES = {"report": report, "expert-load": expert_load, "view": view, "demo": demo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    options = parser.parse_args(arguments)
    if CHROMIUM is None:
        print("bench.pictures: needs Chromium: apt-get install chromium", file=sys.stderr)
        return 2
    for name in options.only:
        PICTURES[name](options.runs, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
