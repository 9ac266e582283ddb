"""`moe-eval submit`: the file that a server accepts, or one line that says what it would refuse."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import load_workbook
from PIL import Image

from moe_eval.registry import find_task
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.test_cli import call
from tests.tasks.test_mmbench import ROTATED, write_tsv


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def write_questions(path: Path, ids: list[int], suffix: str) -> Path:
    lines = [
        {"question_id": n, "image": "a.jpg", "text": f"What is {n}?\n{suffix}", "category": "default"} for n in ids
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def answer(task: str, source: str, folder: Path, reply: str = "Macy's") -> Path:
    run_task(find_task(task), "llava", find_task(task).load(source), FakeBackend(answer=lambda request: reply), folder)
    return folder


def make_mmvet(tmp_path: Path, questions: int, reply: str = "Macy's") -> Path:
    data = tmp_path / "data"
    write_picture(data / "images" / "a.png")
    lines = [{"question_id": number, "image": "a.png", "text": f"What is {number}?"} for number in range(questions)]
    (data / "llava-mm-vet.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return answer("mmvet", f"llava:{data}", tmp_path / "run", reply)


def test_mmvet(tmp_path, capsys):
    run = make_mmvet(tmp_path, 218)
    code, out, err = call(capsys, "submit", run)
    assert code == 0, err
    assert "mmvet.json: 218 rows, 218 of them answered by fake" in out
    assert "upload it to https://huggingface.co/spaces/whyu/MM-Vet_Evaluator" in out
    written = json.loads((run / "mmvet.json").read_text())
    assert list(written) == [f"v1_{number}" for number in range(218)]
    assert set(written.values()) == {"Macy's"}


def test_answers_that_are_all_empty_are_refused(tmp_path, capsys):
    code, _, err = call(capsys, "submit", make_mmvet(tmp_path, 218, reply=""))
    assert code == 2
    assert "all 218 answers are empty" in err


def test_a_part_of_a_split_is_refused(tmp_path, capsys):
    code, _, err = call(capsys, "submit", make_mmvet(tmp_path, 3))
    assert code == 2
    assert "mmvet: the server wants 218 questions and refuses fewer" in err


def test_an_unfinished_run_is_refused(tmp_path, capsys):
    run = make_mmvet(tmp_path, 218)
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)
    (run / "responses.jsonl").write_text("".join(lines[:-1]))
    code, _, err = call(capsys, "submit", run)
    assert code == 2
    assert "answers 217 of 218 questions" in err


def test_mmbench_has_a_line_per_rotation(tmp_path, capsys):
    tsv = write_tsv(tmp_path / "mmbench_test_en.tsv", [{**row, "answer": "", "split": "test"} for row in ROTATED])
    run = answer("mmbench", f"tsv:{tsv}", tmp_path / "run", reply="B")
    code, out, err = call(capsys, "submit", run, "--out", tmp_path / "up.xlsx")
    assert code == 0, err
    assert "up.xlsx: 3 rows" in out
    sheet = load_workbook(io.BytesIO((tmp_path / "up.xlsx").read_bytes())).active
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == ("index", "question", "A", "B", "C", "D", "prediction", "split")
    assert [row[0] for row in rows] == [3, 1_000_003, 2_000_003]
    assert {row[6] for row in rows} == {"B"}


def test_vqav2_is_filled_up_to_all_of_test2015(tmp_path, capsys, monkeypatch):
    suffix = "Answer the question using a single word or phrase."
    write_picture(tmp_path / "test2015" / "a.jpg")
    asked = write_questions(tmp_path / "llava_vqav2_mscoco_test-dev2015.jsonl", [3, 5], suffix)
    everything = write_questions(tmp_path / "llava_vqav2_mscoco_test2015.jsonl", [2, 3, 4, 5], suffix)
    run = answer("vqav2", f"llava:{asked}", tmp_path / "run")
    code, _, err = call(capsys, "submit", run)
    assert code == 2
    assert "vqav2: the server wants 447,793 questions and refuses fewer" in err

    want_rows(monkeypatch, "vqav2", 4)
    code, out, err = call(capsys, "submit", run, "--data", f"llava:{everything}")
    assert code == 0, err
    assert "4 rows, 2 of them answered" in out
    assert json.loads((run / "vqav2_test2015.json").read_text()) == [
        {"question_id": 2, "answer": ""},
        {"question_id": 3, "answer": "macy 's"},
        {"question_id": 4, "answer": ""},
        {"question_id": 5, "answer": "macy 's"},
    ]


def test_vizwiz_names_pictures_and_uploads_normalised_answers(tmp_path, capsys, monkeypatch):
    prompt = (
        "What is it?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
        "Answer the question using a single word or phrase."
    )
    names = [f"VizWiz_test_{number:08d}.jpg" for number in range(3)]
    for name in names:
        write_picture(tmp_path / "test" / name)
    lines = [{"question_id": n, "image": name, "text": prompt, "category": "default"} for n, name in enumerate(names)]
    (tmp_path / "llava_test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = answer("vizwiz", f"llava:{tmp_path}", tmp_path / "run", reply="Yes, it is.")
    assert "the server wants 8,000 questions" in call(capsys, "submit", run)[2]
    want_rows(monkeypatch, "vizwiz", 3)
    code, out, err = call(capsys, "submit", run)
    assert code == 0, err
    assert "3 rows, 3 of them answered" in out
    (file,) = run.glob("vizwiz*.json")
    assert json.loads(file.read_text()) == [{"image": name, "answer": "yes it is"} for name in names]


def want_rows(monkeypatch: pytest.MonkeyPatch, name: str, rows: int) -> None:
    """A server that is content with less."""
    task = find_task(name)
    small = replace(task, submission=replace(task.submission, rows=rows))
    monkeypatch.setattr("moe_eval.commands.submit.find_task", lambda name: small)


def test_answers_from_elsewhere_are_refused(tmp_path, capsys):
    run = make_mmvet(tmp_path, 218)
    other = tmp_path / "other"
    write_picture(other / "images" / "a.png")
    (other / "llava-mm-vet.jsonl").write_text('{"question_id": 0, "image": "a.png", "text": "?"}\n')
    code, _, err = call(capsys, "submit", run, "--data", f"llava:{other}")
    assert code == 2
    assert "217 answered questions, such as v1_1, are not in llava:" in err


def test_a_task_without_server_is_one_line(tmp_path, capsys):
    pope = find_task("pope")
    run_task(pope, "llava", pope.load("mini").first(18), FakeBackend(), tmp_path / "run")
    code, _, err = call(capsys, "submit", tmp_path / "run")
    assert code == 2
    assert "pope has no server to submit to; these have: mmbench, mmvet, vizwiz, vqav2" in err


@pytest.mark.parametrize("task", ["vqav2", "vizwiz", "mmbench", "mmvet"])
def test_every_server_has_an_address(task):
    assert find_task(task).submission.upload.startswith("https://")
