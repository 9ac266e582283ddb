"""Where MME's pairs of questions come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.mini.mme import mini_mme
from moe_eval.prompts import SHORT_ANSWER
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import check_fields, locate, read_text
from moe_eval.sources.rows import Rows
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

from .scoring import SIZES, bare_question

__all__ = ["answer_id", "load_answers", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


HUB = {
    "test": HubFiles(
        "lmms-lab/MME",
        "data/test-*.parquet",
        "d6c9023f017b564f7b3ccccf5348166bce8fdbcd",  # read off a stored copy of the hub's page
    )
}
COLUMNS = ["question_id", "question", "answer", "category"]


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their gold (category, image, question, gold)."""
    samples = [
        _sample(row["category"], row["image"], row["question"], row["gold"], None, where)
        for where, row in read_stored("mme", argument, ("category", "image", "question", "gold"))
    ]
    return _dataset(f"answers:{argument}", samples, has_images=False)


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `llava_mme.jsonl` and `MME_Benchmark_release_version/`."""
    path = locate("mme", argument, "llava_mme.jsonl")
    release = path.parent / "MME_Benchmark_release_version"
    golds: dict[str, dict[tuple[str, str], tuple[str, str]]] = {}
    samples = []
    for line, row in read_jsonl(path):
        where = f"mme: {path} line {line}"
        check_fields(row, ("question_id", "image", "text", "category"), where)
        category, name = str(row["category"]), Path(str(row["image"])).name
        if category not in golds:
            golds[category] = _read_golds(release / category)
        question = str(row["text"]).removesuffix(SHORT_ANSWER).strip()
        key = (Path(name).stem, question)
        if key not in golds[category]:
            raise UserError(f"{where}: {release / category} has no answer to {question!r} about {name}")
        picture = release / category / ("images" if (release / category / "images").is_dir() else "") / name
        samples.append(_sample(category, name, *golds[category][key], ImageFile(picture), where))
    return _dataset(f"llava:{argument}", samples)


def _read_golds(folder: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(file without suffix, bare question) → (question, answer), from the text files of one subtask."""
    texts = folder / "questions_answers_YN" if (folder / "images").is_dir() else folder
    golds = {}
    for path in sorted(texts.glob("*.txt")):
        for number, line in enumerate(read_text("mme", path).splitlines(), start=1):
            question, tab, answer = line.strip().partition("\t")
            if not tab:
                raise UserError(f"mme: {path} line {number}: a question, a tab and an answer are expected")
            golds[path.stem, bare_question(question)] = (question, answer)
    return golds


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's MME.tsv."""
    path = Path(argument)
    samples = []
    for row in read_tsv(path, ["image_path", "question", "answer", "category"]):
        name = Path(row.text("image_path")).name
        where = f"mme: {path} line {row.line}"
        samples.append(_sample(row.text("category"), name, row.text("question"), row.text("answer"), row.image, where))
    return _dataset(f"tsv:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: lmms-lab/MME. `hub@REVISION` takes another revision than the pinned one."""
    return _of_rows(hub_rows("mme", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/MME, from any data set."""
    return _of_rows(hf_rows("mme", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    samples = []
    for row in rows.rows:
        values = row.values
        picture = row.picture("image", values["question_id"])
        name = Path(values["question_id"]).name
        samples.append(_sample(values["category"], name, values["question"], values["answer"], picture, row.where))
    return _dataset(rows.source, samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: the six subtasks that can be drawn, on generated pictures; `mini:train:COUNT` on COUNT other ones."""
    samples = []
    for scene, row in mini_mme(argument):
        sample = _sample(row["category"], scene.name, row["question"], row["answer"], scene, "mme: mini")
        samples.append(replace(sample, meta={**sample.meta, "response": row["answer"]}))
    source = f"mini:{argument}" if argument else "mini"
    scenes = {scene.name for sample in samples for scene in sample.images}
    subtasks = {sample.meta["category"] for sample in samples}
    version = f"{len(samples):,} generated questions on {len(scenes):,} drawn scenes, {len(subtasks)} of 14 subtasks"
    return replace(_dataset(source, samples), version=version)


def _sample(category: str, name: str, question: str, gold: str, image: ImageRef | None, where: str) -> Sample:
    answer = gold.strip().lower()
    if category not in SIZES:
        raise UserError(f"{where}: {category!r} is none of MME's subtasks ({', '.join(SIZES)})")
    if answer not in ("yes", "no"):
        raise UserError(f"{where}: the answer {gold!r} is neither Yes nor No")
    picture = f"{category}/{name}"
    return Sample(
        id=f"{picture}: {bare_question(question)}",
        question=question,
        images=(image or NamedImage(picture),),
        gold=answer,
        group=picture,
        meta={"category": category},
    )


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    pairs: dict[str, int] = {}
    sizes = dict.fromkeys(SIZES, 0)
    for sample in samples:
        pairs[sample.group] = pairs.get(sample.group, 0) + 1
        sizes[sample.meta["category"]] += 1
    broken = [(name, count) for name, count in pairs.items() if count != 2]
    if broken:
        name, count = broken[0]
        raise UserError(
            f"mme: {source}: {name} has {count} question{'s' * (count != 1)}, not a pair of two"
            f"{f' (nor have {len(broken) - 1:,} more pictures)' if len(broken) > 1 else ''}"
        )
    official = sizes == SIZES
    version = (
        "2,374 questions on 1,187 pictures, all of MME" if official else f"{len(samples):,} questions, not MME's 2,374"
    )
    return Dataset(source, version, samples, official, has_images)


def answer_id(answer: Mapping[str, Any]) -> str:
    """Sample id of an answer: LLaVA's (`question_id` names the picture, `prompt` the question), or one with its gold."""
    if "question_id" in answer:
        category, _, name = answer["question_id"].partition("/")
        question = answer["prompt"].removesuffix(SHORT_ANSWER)
    else:
        category, name, question = answer["category"], answer["image"], answer["question"]
    return f"{category}/{Path(name).name}: {bare_question(question)}"
