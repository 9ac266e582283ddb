"""Time and size of a report on many samples, and how fast a browser opens it: `python -m bench.report`.

Two made-up models answer POPE questions on drawn scenes (5.7 per scene on average); the report is built
in a process of its own, so that its peak memory is its own, and opened in headless Chromium, where there is one.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.browser import CHROMIUM, open_browser
from moe_eval.engine.backend import ModelInfo
from moe_eval.registry import find_task
from moe_eval.runs.records import DataRecord, PromptRecord, RunRecord, prompt_fingerprint, write_record
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset

MODEL = ModelInfo("made-up", "none", "sha256:0", "none", "float32")


def write_runs(out: Path, samples: int, skills: tuple[float, ...] = (0.9, 0.75)) -> Dataset:
    """One run per skill: the share of answers that are right."""
    task = find_task("pope")
    scenes = samples // 5 + 1  # enough: a scene gives 5.7 questions on average
    data = task.load(f"mini:train:{scenes}").first(samples)
    for skill in skills:
        generator = random.Random(f"bench report {skill}")
        answers = {
            sample.id: sample.gold if generator.random() < skill else {"yes": "No", "no": "Yes, there is."}[sample.gold]
            for sample in data.samples
        }
        folder = out / f"made-up-{skill}" / "pope"
        folder.mkdir(parents=True)
        prompt = task.protocol("llava").prompt(data.samples[0])
        record = RunRecord(
            task="pope",
            protocol="llava",
            model=replace(MODEL, name=f"made-up-{skill}"),
            data=DataRecord.of(data),
            prompt=PromptRecord(
                fingerprint=prompt_fingerprint(map(task.protocol("llava").prompt, data.samples)), example=prompt
            ),
            generation=None,
        )
        write_record(record, folder / "run.json")
        lines = [json.dumps({"id": name, "response": text}) + "\n" for name, text in answers.items()]
        (folder / "responses.jsonl").write_text("".join(lines))
        write_record(score_answers(task, "llava", data, answers), folder / "scores.json")
    return data


def build(runs: Path, page: Path, limit_images: int) -> dict[str, Any]:
    """Seconds, peak memory and size of the report."""
    code = (
        "import resource, sys; from moe_eval.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "report", str(runs), "--out", str(page), "--limit-images", str(limit_images)]
    start = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - start
    return {
        "build_seconds": round(seconds, 1),
        "build_peak_mb": int(done.stderr.split()[-1]),
        "file_mb": round(page.stat().st_size / 1e6, 1),
    }


def look(page: Path, samples: int) -> dict[str, Any]:
    """Seconds until a reader sees something."""
    times = {}
    with open_browser() as browser:
        start = time.monotonic()
        browser.open(page)
        times["open_seconds"] = round(time.monotonic() - start, 2)
        browser.evaluate("document.getElementById('filter-runs').click()")
        start = time.monotonic()
        browser.wait("document.getElementById('count').textContent.includes(' of ')")
        times["filter_seconds"] = round(time.monotonic() - start, 2)
        browser.evaluate("document.getElementById('filter-reset').click()")
        browser.wait(f"document.getElementById('count').textContent === '{samples:,} samples'")
        browser.evaluate("document.getElementById('filter-text').focus()")
        start = time.monotonic()
        browser.type("triangle")
        browser.wait("document.getElementById('count').textContent.includes(' of ')", 60)
        times["first_search_seconds"] = round(time.monotonic() - start, 2)
        times["browser_heap_mb"] = round(browser.call("Runtime.getHeapUsage")["usedSize"] / 1e6)
    return times


def main() -> None:
    """Print the figures; with `--out`, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--limit-images", type=int, default=1_000, help="as in moe-eval report")
    parser.add_argument("--keep", type=Path, help="keep the page there")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        runs, page = Path(folder) / "runs", options.keep or Path(folder) / "report.html"
        data = write_runs(runs, options.samples)
        figures = {"samples": len(data.samples), "pictures": len({sample.group for sample in data.samples}), "runs": 2}
        figures |= build(runs, page, options.limit_images)
        if CHROMIUM:
            figures |= look(page, len(data.samples))
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
