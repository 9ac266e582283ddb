"""What is fuzzed: folders with small, correct files, and the commands that read them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from moe_eval.cli import main as moe_eval_main
from moe_eval.registry import find_task
from tests.tables import write_tsv
from tests.upstream_checkpoints import ORACLE, copy_checkpoint

__all__ = ["SUBJECTS", "Subject"]

TABLES = {
    "mmbench": {"question": "Which?", "A": "red", "B": "None", "C": "blue", "D": "", "answer": "B", "category": "ocr"},
    "scienceqa": {
        "question": "Which?",
        "hint": "",
        "A": "None",
        "B": "left",
        "C": "nan",
        "answer": "B",
        "category": "x",
    },
    "pope": {"question": "Is there a cat?", "answer": "Yes", "category": "random"},
    "mme": {"question": "Is it red?", "answer": "No", "category": "color", "image_path": "color/1.png"},
    "textvqa": {"question": "What is written?", "answer": str(["stop"] * 10)},
    "mmvet": {"question": "What?", "answer": "a<AND>b", "category": "ocr"},
    "gqa": {"question": "What?", "answer": "cat"},
}
LLAVA_TASKS = ("gqa", "mmbench", "mme", "mmvet", "pope", "scienceqa", "textvqa", "vizwiz", "vqav2")
SHORT = "Answer the question using a single word or phrase."


@dataclass(frozen=True)
class Subject:
    """A reader, or several.

    Args:
        name: in the ids of tests.
        build: writes correct files into a folder.
        commands: a program and its words each, in which `{}` is the folder.
        mutations: how many are tried.
        damaged: patterns of the files that may be changed.
    """

    name: str
    build: Callable[[Path], object]
    commands: tuple[str, ...]
    mutations: int = 100
    damaged: tuple[str, ...] = ("**/*",)


def _runs(folder: Path) -> None:
    for name in ("one", "two"):
        for task in ("pope", "mmbench"):
            _quietly(f"run moe-llava-nano --tasks {task} --limit 8 --name {name} --out {folder}/runs --quiet")


def _quietly(command: str) -> None:
    with pytest.raises(SystemExit) as end:
        moe_eval_main(command.split())
    assert not end.value.code, command


def _tables(folder: Path) -> None:
    for task in TABLES:
        write_tsv(folder / f"{task}.tsv", _columns(task))
        _write_answers(folder, task, f"tsv:{folder}/{task}.tsv")


def _columns(task: str) -> dict[str, list[str]]:
    """Two rows, of which only questions differ."""
    row = TABLES[task]
    return {key: [f"{value} now?" * (key == "question") or value, value] for key, value in row.items()}


def _llava_folder(folder: Path) -> None:
    """The smallest of each task's files in LLaVA's layout."""
    _write_lines(folder, "llava_vqav2_mscoco_test-dev2015.jsonl", _asked(0, "COCO_1.jpg"), _asked(1, "COCO_1.jpg"))
    _write_lines(folder, "llava_gqa_testdev_balanced.jsonl", _asked("0", "n1.jpg"), _asked("1", "n1.jpg"))
    gqa = {"question": "Is it?", "imageId": "n1", "answer": "yes", "isBalanced": True, "groups": {"global": None}}
    gqa |= {"types": {"structural": "verify", "semantic": "global", "detailed": "weatherVerify"}, "entailed": ["1"]}
    gqa["semantic"] = [{"operation": "select", "argument": "scene", "dependencies": []}]
    _write(folder, "data/questions1.2/testdev_balanced_questions.json", {"0": gqa, "1": gqa})
    unanswerable = "When the provided information is insufficient, respond with 'Unanswerable'."
    _write_lines(folder, "llava_test.jsonl", _asked(0, "VizWiz_test_0.jpg", unanswerable))
    _write_lines(folder, "llava_textvqa_val_v051_ocr.jsonl", _asked("a", "a.jpg", "Reference OCR token: STOP"))
    written = {"question_id": 1, "question": "Is it?", "image_id": "a", "answers": ["stop"] * 10}
    _write(folder, "TextVQA_0.5.1_val.json", {"data": [written]})
    for kind in ("random", "popular", "adversarial"):
        pope = [{"question_id": n, "image": "COCO_1.jpg", "text": f"Is there a {n}?", "label": "yes"} for n in range(2)]
        _write_lines(folder, f"coco/coco_pope_{kind}.json", *pope)
    _write_lines(folder, "llava-mm-vet.jsonl", {"question_id": 0, "image": "v1_0.png", "text": "What is x?"})
    judged = {"imagename": "v1_0.png", "question": "?", "answer": "7", "capability": ["ocr", "math"]}
    _write(folder, "mm-vet.json", {"v1_0": judged})
    _write_lines(
        folder,
        "llava_mme.jsonl",
        *(_asked("OCR/1.png", "OCR/1.png", question=words, category="OCR") for words in ("Is it?", "Has it?")),
    )
    (folder / "MME_Benchmark_release_version/OCR").mkdir(parents=True)
    (folder / "MME_Benchmark_release_version/OCR/1.txt").write_text("Is it?\tYes\nHas it?\tNo\n")
    problem = {"question": "Which?", "choices": ["left", "right"], "answer": 1, "hint": "One.", "image": None}
    problem |= {"subject": "natural science", "grade": "grade7"}
    turns = [{"from": "human", "value": "Which?\nA. left\nB. right"}, {"from": "gpt", "value": "B"}]
    _write(folder, "llava_test_CQM-A.json", [{"id": name, "conversations": turns} for name in ("11", "12")])
    _write(folder, "problems.json", {"11": problem, "12": problem})
    write_tsv(folder / "mmbench_dev_20230712.tsv", _columns("mmbench"))
    for task in LLAVA_TASKS:
        _write_answers(folder, task, f"llava:{folder}")


def _asked(name: int | str, image: str, before: str = "", question: str = "Is it?", category: str = "default") -> dict:
    text = "\n".join(filter(None, [question, before, SHORT]))
    return {"question_id": name, "image": image, "text": text, "category": category}


def _write_answers(folder: Path, task: str, source: str) -> None:
    """An answer to each question of the source, as our journals have them."""
    answer = {"response": "B", "tokens": 2, "finish_reason": "stop"}
    _write_lines(
        folder, f"answers/{task}.jsonl", *({"id": one.id, **answer} for one in find_task(task).load(source).samples)
    )


def _write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _write_lines(folder: Path, name: str, *lines: dict) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _model(folder: Path) -> None:
    from tests.tiny_llava import save_tiny_llava

    save_tiny_llava(folder / "model")


def _sparse_model(folder: Path) -> None:
    from tests.tiny_models import tiny_model, tiny_processor

    tiny_model().save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")


def _checkpoint(case: str) -> Callable[[Path], object]:
    return lambda folder: copy_checkpoint(case, folder)


def _training(folder: Path) -> None:
    from tests.tiny_training import tiny_recipe

    tiny_recipe(folder, train={"max_steps": 1, "save_steps": 1, "workers": 0})


def _stopped_training(folder: Path) -> None:
    """A run that ended between its last checkpoint and its finished model."""
    from moellava.train import main
    from moellava.training.errors import TrainingError
    from tests.tiny_training import tiny_recipe

    recipe = tiny_recipe(folder, train={"max_steps": 1, "save_steps": 1, "workers": 0})
    with patch("moellava.training.run.save_finished", side_effect=TrainingError("stopped")):
        assert main([str(recipe)]) == 2


def _parquet(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"id": ["a", "b"], "question": ["Is it?"] * 2, "image": [{"bytes": b"picture" * 99, "path": "a.png"}] * 2}
    parquet.write_table(pa.table(columns), folder / "rows.parquet")


def _pictures(folder: Path) -> None:
    from PIL import Image

    for source in (ORACLE / "llava-1.5" / "images").iterdir():
        image = Image.open(source).resize((40, 30)).convert("RGB")
        for suffix in ("png", "jpg", "webp", "gif", "bmp", "tiff"):
            image.save(folder / f"{source.stem}.{suffix}")


SUBJECTS = [
    Subject(
        "runs",
        _runs,
        (
            "moe-eval table {}/runs",
            "moe-eval table {}/runs --format csv",
            "moe-eval score pope {}/runs/one/pope",
            "moe-eval compare {}/runs/one/pope {}/runs/two/pope",
            "moe-eval check {}/runs/one --against {}/runs/two",
            "moe-eval explain {}/runs/one/mmbench",
            "moe-eval export {}/runs --out {}/out.csv",
            "moe-eval run moe-llava-nano --tasks pope --limit 8 --name one --out {}/runs --quiet",
        ),
        damaged=("runs/**/*.json", "runs/**/*.jsonl"),
        mutations=150,
    ),
    Subject(
        "pages",
        _runs,
        ("moe-eval report {}/runs --out {}/report.html", "moe-eval figures {}/runs --out {}/figures"),
        damaged=("runs/**/*.json", "runs/**/*.jsonl"),
        mutations=2,
    ),
    Subject(
        "tsv",
        _tables,
        tuple(f"moe-eval score {task} {{}}/answers/{task}.jsonl --data tsv:{{}}/{task}.tsv" for task in TABLES),
        mutations=300,
    ),
    Subject(
        "llava-folder",
        _llava_folder,
        tuple(f"moe-eval score {task} {{}}/answers/{task}.jsonl --data llava:{{}}" for task in LLAVA_TASKS),
        mutations=700,
    ),
    Subject("pictures", _pictures, ("open {}",), mutations=600),
    Subject("parquet", _parquet, ("rows {}",), mutations=400),
    Subject(
        "model",
        _model,
        ("moe-eval run {}/model --tasks pope --data mini --limit 1 --out {}/runs --quiet",),
        damaged=("model/*.json", "model/*.jinja"),
        mutations=40,
    ),
    Subject(
        "sparse-model",
        _sparse_model,
        ("moe-eval run {}/model --tasks pope --data mini --limit 1 --out {}/runs --quiet",),
        damaged=("model/*",),
        mutations=40,
    ),
    Subject(
        "upstream-shards", _checkpoint("llava-1.5"), ("moellava convert {}/llava-1.5/checkpoint {}/out",), mutations=60
    ),
    Subject(
        "upstream-moe",
        _checkpoint("moe-llava-phi"),
        ("moellava convert {}/moe-llava-phi/checkpoint {}/out",),
        mutations=60,
    ),
    Subject(
        "training",
        _training,
        ("train {}/recipe.yaml --dry-run", "train {}/recipe.yaml"),
        damaged=("recipe.yaml", "items.json", "images/*", "base/*.json"),
        mutations=60,
    ),
    Subject("checkpoint", _stopped_training, ("train {}/recipe.yaml",), damaged=("out/**/*",), mutations=40),
]
