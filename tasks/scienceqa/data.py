"""Where ScienceQA's questions come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from moe_eval.errors import UserError
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.mini.scienceqa import mini_scienceqa
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import check_fields, check_texts, locate, read_json
from moe_eval.sources.rows import Rows
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

__all__ = ["answer_id", "load_answers", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


SIZES = {"all": (4241, 2017), "img": (2017, 2017)}
"""Part of the test set → number of questions, and of those with a picture."""


HUB = {
    "all": HubFiles("lmms-lab/ScienceQA", "ScienceQA-FULL/test-*.parquet"),
    "img": HubFiles("lmms-lab/ScienceQA", "ScienceQA-IMG/test-*.parquet"),
}
COLUMNS = ["question", "choices", "answer", "hint", "subject", "grade"]


SUBJECTS = {"natural science": "NAT", "social science": "SOC", "language science": "LAN"}


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their gold (id, has_image, n_choices, gold)."""
    samples = []
    for where, row in read_stored("scienceqa", argument, ("id", "has_image", "n_choices", "gold")):
        images = (NamedImage(f"{row['id']}/image.png"),) if row["has_image"] else ()
        choices = [""] * int(row["n_choices"])
        samples.append(_sample(str(row["id"]), "", choices, row["gold"], images, {}, where))
    return _dataset(f"answers:{argument}", samples, has_images=False)


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `llava_test_CQM-A.json`, `problems.json` and `images/test/`."""
    path = locate("scienceqa", argument, "llava_test_CQM-A.json")
    pictures = path.parent / "images" / "test"
    problems = read_json("scienceqa", path.parent / "problems.json", dict)
    samples = []
    for number, row in enumerate(read_json("scienceqa", path, list), start=1):
        where = f"scienceqa: {path} question {number}"
        check_fields(row, ("id", "conversations"), where)
        problem = problems.get(str(row["id"]))
        check_fields(
            problem, ("question", "choices", "answer"), f"scienceqa: {path.parent / 'problems.json'} id {row['id']}"
        )
        text, letter = _asked_and_answered(row["conversations"], where)
        if row.get("image"):
            check_texts(row, ("image",), where)
        images = (ImageFile(pictures / row["image"], pictures),) if row.get("image") else ()
        gold = _letter(problem["answer"], where)
        if letter != gold:
            raise UserError(
                f"{where}: the answer is {letter!r} here and {gold!r} in problems.json; are they of one version?"
            )
        meta = {**_kinds(problem), "llava_text": text.replace("<image>", "").strip()}
        samples.append(_sample(str(row["id"]), problem["question"], problem["choices"], gold, images, meta, where))
    return _dataset(f"llava:{argument}", samples)


def _asked_and_answered(turns: Any, where: str) -> tuple[str, str]:
    """The texts of the first two turns."""
    if not isinstance(turns, list) or len(turns) < 2:
        raise UserError(f"{where}: a question and an answer are expected in `conversations`, not {str(turns)[:60]!r}")
    for turn in turns[:2]:
        check_texts(turn, ("value",), f"{where}: conversations")
    return turns[0]["value"], turns[1]["value"]


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's ScienceQA_TEST.tsv, whose questions all have a picture."""
    path = Path(argument)
    samples = []
    optional = ["hint", "subject", "grade", *ascii_uppercase]
    for row in read_tsv(path, ["question", "answer"], optional):
        where = f"scienceqa: {path} line {row.line}"
        choices = [row.values.get(letter) for letter in ascii_uppercase]  # a cell that holds nothing keeps its letter
        meta = _kinds(row.values)
        samples.append(
            _sample(row.text("index"), row.text("question"), choices, row.text("answer"), (row.image,), meta, where)
        )
    return _dataset(f"tsv:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: all of lmms-lab/ScienceQA's test split; `hub:img`: the questions with a picture. `@REVISION` pins."""
    return _of_rows(hub_rows("scienceqa", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/ScienceQA, from any data set."""
    return _of_rows(hf_rows("scienceqa", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    samples = []
    for number, row in enumerate(rows.rows):  # the rows carry no ids
        values, name = row.values, f"{rows.split}-{number}"
        images = (row.picture("image", name),) if row.has_picture("image") else ()
        gold = _letter(values["answer"], row.where)
        samples.append(_sample(name, values["question"], values["choices"], gold, images, _kinds(values), row.where))
    return _dataset(rows.source, samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: generated questions, half of them on drawn pictures; `mini:train:COUNT` on COUNT other scenes."""
    samples = []
    for scene, row in mini_scienceqa(argument):
        where = f"scienceqa: mini {row['id']}"
        gold = _letter(row["answer"], where)
        meta = {**_kinds(row), "response": gold}
        images = (scene,) if scene else ()
        samples.append(_sample(row["id"], row["question"], row["choices"], gold, images, meta, where))
    scenes = {scene.name for sample in samples for scene in sample.images}
    version = f"{len(samples):,} generated questions, on {len(scenes):,} drawn scenes and without a picture"
    return Dataset(f"mini:{argument}" if argument else "mini", version, samples, official=False)


def _kinds(record: Mapping[str, Any]) -> dict[str, str]:
    """Hint, subject and grade of a question, as far as the data say."""
    kinds = {"hint": record.get("hint") or ""}
    if record.get("subject"):
        kinds["subject"] = SUBJECTS.get(record["subject"], record["subject"])
    grade = str(record.get("grade") or "").removeprefix("grade")
    if grade.isdecimal():
        kinds["grade"] = "G1-6" if int(grade) <= 6 else "G7-12"
    return kinds


def _letter(answer: Any, where: str) -> str:
    if not isinstance(answer, int) or not 0 <= answer < len(ascii_uppercase):
        raise UserError(f"{where}: the answer {answer!r} is not the number of an option")
    return ascii_uppercase[answer]


def _sample(
    name: str,
    question: str,
    choices: Sequence[str | None],
    gold: str,
    images: tuple[ImageRef, ...],
    meta: Mapping[str, str],
    where: str,
) -> Sample:
    """`choices` are by letter: None is a letter without an option, which keeps its place; at the end there are none."""
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise UserError(f"{where}: the options are {str(choices)[:60]!r}, not a list of texts")
    odd = next((one for one in choices if one is not None and not isinstance(one, str)), None)
    if odd is not None:
        raise UserError(f"{where}: the option {odd!r} is not a text")
    options = {letter: text for letter, text in zip(ascii_uppercase, choices, strict=False) if text is not None}
    if len(choices) > len(ascii_uppercase):
        raise UserError(f"{where}: {len(choices)} options, and there are letters for {len(ascii_uppercase)}")
    if gold not in options:
        raise UserError(f"{where}: the answer {gold!r} is none of the {len(options)} options ({', '.join(options)})")
    kept = tuple(choices[: ascii_uppercase.index(max(options)) + 1])
    return Sample(id=name, question=question, images=images, gold=gold, group=name, meta={**meta, "choices": kept})


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    sizes = (len(samples), sum(bool(sample.images) for sample in samples))
    part = next((name for name, size in SIZES.items() if size == sizes), None)
    version = {
        "all": "the 4,241 test questions, 2,017 of them with a picture",
        "img": "the 2,017 test questions with a picture",
        None: f"{sizes[0]:,} questions, {sizes[1]:,} of them with a picture; the test set has 4,241 and 2,017",
    }[part]
    return Dataset(source, version, samples, official=part is not None, has_images=has_images)


def answer_id(answer: Mapping[str, Any]) -> str:
    """Sample id of an answer: `question_id` as LLaVA calls it, or `id`."""
    return str(answer["question_id"] if "question_id" in answer else answer["id"])
