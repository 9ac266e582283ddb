"""Where MMBench's rows come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from moe_eval.errors import UserError
from moe_eval.images import ImageRef, NamedImage
from moe_eval.mini.mmbench import mini_mmbench
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.rows import Rows
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import (
    Dataset,
    Sample,
)

from .prompts import LETTERS
from .scoring import ROTATION

__all__ = ["answer_id", "load_answers", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


VERSIONS = {
    (4377, 1176): "dev of 2023-07-12, as LLaVA and MoE-LLaVA score",
    (4329, 1164): "dev of 2023-10-03, not the papers' 4,377 rows",
    (6666, 1784): "test, whose answers are hidden",
}
"""(rows, questions) → what that is."""


HUB = {
    "dev": HubFiles(
        "lmms-lab/MMBench_EN",
        "data/dev-*.parquet",
        "ecd23e001f5c649c959eda84b846a01cc6fafbde",  # read off a stored copy of the hub's page
    ),
    "dev-new": HubFiles("lmms-lab/MMBench", "en/dev-*.parquet"),
    "test": HubFiles("lmms-lab/MMBench", "en/test-*.parquet"),
    "cn-dev": HubFiles("lmms-lab/MMBench", "cn/dev-*.parquet"),
    "cn-test": HubFiles("lmms-lab/MMBench", "cn/test-*.parquet"),
}
HUB_COLUMNS = ["index", "question", "hint", *LETTERS, "answer", "category", "L2-category", "split"]


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their gold (index, A, B, C, D, answer)."""
    rows = [
        _row(record, None, where) for where, record in read_stored("mmbench", argument, ("index", *LETTERS, "answer"))
    ]
    return _dataset(f"answers:{argument}", rows, has_images=False)


BEYOND = ascii_uppercase[len(LETTERS) :]
"""Letters that MMBench has no options for."""


COLUMNS = ["hint", *LETTERS, "answer", "category", "l2-category", "split"]


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `mmbench_dev_20230712.tsv` (or `…_en_…`, `…_cn_…`); or such a file."""
    if not argument:
        raise UserError("mmbench: llava needs a folder: --data llava:playground/data/eval/mmbench")
    path = Path(argument)
    if path.is_dir():
        found = sorted(path.glob("mmbench_dev*_20*.tsv"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise UserError(f"mmbench: {path} must hold one mmbench_dev_20230712.tsv (found {names}); or name the file")
        path = found[0]
    return _dataset(f"llava:{argument}", _tsv_rows(path))


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: MMBench's own TSV, or VLMEvalKit's (MMBench_DEV_EN.tsv, MMBench_TEST_EN.tsv, …)."""
    return _dataset(f"tsv:{argument}", _tsv_rows(Path(argument)))


def _tsv_rows(path: Path) -> list[Sample]:
    language = "cn" if "_cn" in path.stem.lower() else "en"
    return [
        _row({**row.values, "language": language}, row.image, f"mmbench: {path} line {row.line}")
        for row in read_tsv(path, ["question"], [*COLUMNS, *BEYOND])
    ]


def load_hub(argument: str) -> Dataset:
    """`hub`: the papers' 4,377 dev rows; `hub:dev-new`, `hub:test`, `hub:cn-dev`, `hub:cn-test`. `@REVISION` pins."""
    return _of_rows(hub_rows("mmbench", argument, HUB, HUB_COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/MMBench_EN, from any data set."""
    return _of_rows(hf_rows("mmbench", argument, HUB_COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    language = "cn" if rows.split.startswith("cn-") else "en"
    samples = []
    for row in rows.rows:
        values = {**row.values, "l2-category": row.values["L2-category"], "language": language}
        samples.append(_row(values, row.picture("image", str(values["index"])), row.where))
    return _dataset(rows.source, samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: six abilities, rotated, on drawn pictures; `mini:train:COUNT` unrotated on COUNT other ones."""
    rows, scenes = [], set()
    for scene, values in mini_mmbench(argument):
        row = _row({**values, "language": "en"}, scene, "mmbench: mini")
        rows.append(replace(row, meta={**row.meta, "response": row.gold}))
        scenes.add(scene.name)
    version = (
        f"{len(rows):,} generated rows, {len({row.group for row in rows}):,} questions on {len(scenes):,} drawn scenes"
    )
    return replace(_dataset(f"mini:{argument}" if argument else "mini", rows), version=version, official=False)


def _row(values: Mapping[str, Any], image: ImageRef | None, where: str) -> Sample:
    """The sample of a row; how many rotations its question has is filled in when all rows are known."""
    index, answer = str(values["index"]), values.get("answer")
    if not index.isdecimal():
        raise UserError(f"{where}: index {index!r} is not a number")
    if extra := [letter for letter in BEYOND if values.get(letter) is not None]:
        raise UserError(f"{where}: there is an option {extra[0]}, and MMBench's end with {LETTERS[-1]}")
    options = {letter: str(values[letter]) for letter in LETTERS if values.get(letter) not in (None, "")}
    gold = None if answer in (None, "", "nan") else str(answer)
    if gold is not None and gold not in tuple(LETTERS):
        raise UserError(f"{where}: the answer {gold!r} is none of {', '.join(LETTERS)}")
    question = str(int(index) % ROTATION)
    return Sample(
        id=str(int(index)),
        question=values.get("question") or "",
        images=(image or NamedImage(question),),
        gold=gold,
        group=question,
        meta={
            "options": options,
            "hint": values.get("hint"),
            "ability": values.get("category"),
            "group": values.get("l2-category"),
            "split": values.get("split"),
            "language": values.get("language"),
        },
    )


def _dataset(source: str, rows: Sequence[Sample], has_images: bool = True) -> Dataset:
    of_question: dict[str, list[Sample]] = {}
    for row in rows:
        of_question.setdefault(row.group, []).append(row)
    circular = any(int(row.id) >= ROTATION for row in rows)
    if circular:
        for question in of_question.values():
            _check_rotations(source, question)
    samples = [replace(row, meta={**row.meta, "rotations": len(of_question[row.group])}) for row in rows]
    sizes = (len(rows), len(of_question))
    what = VERSIONS.get(sizes, "an unknown version" if circular else "not rotated, so circular accuracy is single-pass")
    version = f"{sizes[0]:,} rows, {sizes[1]:,} questions: {what}"
    return Dataset(source, version, samples, official=sizes == (4377, 1176), has_images=has_images)


def _check_rotations(source: str, rows: Sequence[Sample]) -> None:
    """All rotations must be there: as many as there are options that change their place."""
    rotations = sorted(int(row.id) // ROTATION for row in rows)
    moving = [
        letter for letter in rows[0].meta["options"] if len({row.meta["options"].get(letter) for row in rows}) > 1
    ]
    wanted = max(rotations[-1] + 1, len(moving), 2)
    missing = sorted(set(range(wanted)) - set(rotations))
    if missing:
        raise UserError(
            f"mmbench: {source}: question {rows[0].group} has {len(rotations)} of {wanted} rotations; "
            f"row {int(rows[0].group) + ROTATION * missing[0]} is missing"
        )


def answer_id(answer: Mapping[str, Any]) -> str:
    """Sample id of an answer: `question_id` as LLaVA calls it, or `index`."""
    return str(int(answer["question_id"] if "question_id" in answer else answer["index"]))
