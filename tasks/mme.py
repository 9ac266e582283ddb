"""MME: fourteen small tests of perception and cognition, two yes/no questions about each picture.

Of the two questions about a picture one is to be answered yes, the other no. A subtask's score is the percentage of
right answers (acc) plus the percentage of pictures with both answers right (acc+), so it lies between 0 and 200.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.metrics.totals import Number, Scores, of_totals
from moe_eval.metrics.yes_no import extract_yes_no
from moe_eval.mini.mme import mini_mme
from moe_eval.prompts import SHORT_ANSWER, short_answer
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import check_fields, locate
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Task, TaskProtocol

__all__ = ["TASK", "parse_by_lmms_eval", "parse_yes_no"]

SUBTASKS = {
    "perception": {
        "existence": 60,
        "count": 60,
        "position": 60,
        "color": 60,
        "posters": 294,
        "celebrity": 340,
        "scene": 400,
        "landmark": 400,
        "artwork": 400,
        "OCR": 40,
    },
    "cognition": {
        "commonsense_reasoning": 140,
        "numerical_calculation": 40,
        "text_translation": 40,
        "code_reasoning": 40,
    },
}
"""Section → subtask → number of questions."""

SIZES = {name: size for section in SUBTASKS.values() for name, size in section.items()}

YES_OR_NO = "Please answer yes or no."

HUB_REPOSITORY = "lmms-lab/MME"
HUB_REVISION = "d6c9023f017b564f7b3ccccf5348166bce8fdbcd"
"""Read off a stored copy of the hub's page. Override with `hub@REVISION`."""


# --- asking -----------------------------------------------------------------------------------------------------


def prompt_llava(sample: Sample) -> str:
    """The question without its own "Please answer yes or no.", and LLaVA's short-answer suffix."""
    return short_answer(_bare(sample.question))


def prompt_lmms_eval(sample: Sample) -> str:
    """As LLaVA's, but a second blank before the sentence that is taken out stays."""
    return short_answer(sample.question.strip().replace(f" {YES_OR_NO}", ""))


def prompt_vlmevalkit(sample: Sample) -> str:
    """The question as the data have it."""
    return sample.question


def _bare(question: str) -> str:
    return question.replace(YES_OR_NO, "").strip()


# --- scoring ----------------------------------------------------------------------------------------------------


def parse_yes_no(response: str) -> str:
    """`yes`, `no` or `other`, as MME's own tool reads an answer: whichever is within the first four characters.

    "Yes" goes before "no"; leading blanks count as characters ("  yes" is other) and words are not looked at ("snow"
    is no). The tool reads lines, so the answer's end is followed by a line end.
    Source: MME `calculation.py`; spec 7.
    """
    return _in_first_four(f"{response}\n".lower())


def parse_by_lmms_eval(response: str) -> str:
    """The same without surrounding blanks and without periods; a lone y or n is enough.

    Source: lmms-eval `mme/utils.py`, `parse_pred_ans`.
    """
    text = response.lower().strip().replace(".", "")
    return {"y": "yes", "n": "no"}.get(text) or _in_first_four(text)


def _in_first_four(text: str) -> str:
    start = text[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def score_llava(sample: Sample, response: str) -> SampleScore:
    """As MME's own tool."""
    return _score(sample, parse_yes_no(response))


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    return _score(sample, parse_by_lmms_eval(response))


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """The one of yes and no that occurs as a word, anywhere in the answer."""
    answer = extract_yes_no(response)
    return _score(sample, "other" if answer == "Unknown" else answer.lower())


def _score(sample: Sample, prediction: str) -> SampleScore:
    return {
        "category": sample.meta["category"],
        "picture": sample.group,
        "gold": sample.gold,
        "prediction": prediction,
        "correct": int(prediction == sample.gold),
    }


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: the perception total, at most 2000; cognition, at most 800, is beside it.

    Subtasks without samples are left out; `percent_of_maximum` is relative to 200 for each of the others.

    A picture that occurs several times, as in a resampled data set, counts as often.

    Raises:
        UserError: naming a picture of which only one question is scored.
    """
    of_subtask = scores.by(lambda score: score["category"])
    subtasks = {}
    for name in (name for name in SIZES if name in of_subtask):
        accuracy, accuracy_plus = _accuracies(of_subtask[name])
        subtasks[name] = {
            "score": accuracy + accuracy_plus,
            "acc": accuracy,
            "acc_plus": accuracy_plus,
            "questions": len(of_subtask[name]),
        }
    totals = {
        section: sum((subtasks[name]["score"] for name in names if name in subtasks), start=0.0)
        for section, names in SUBTASKS.items()
    }
    maximum = {section: 200 * sum(name in subtasks for name in names) for section, names in SUBTASKS.items()}
    share = {section: 100 * totals[section] / most for section, most in maximum.items() if most}
    return Result(totals["perception"], {**totals, "percent_of_maximum": share, "subtasks": subtasks})


def _accuracies(scores: Scores[SampleScore]) -> tuple[Number, Number]:
    """acc and acc+ in percent."""
    pictures = scores.together(lambda score: score["picture"])
    odd = next((questions for questions in pictures if len(questions) % 2), None)
    if odd is not None:
        raise UserError(
            f"mme: {len(odd)} of 2 questions about {odd[0]['picture']} are scored, and acc+ needs both; "
            "answer the other one, or take only whole pairs"
        )
    both_right = pictures.total(lambda pair: len(pair) // 2 if all(score["correct"] for score in pair) else 0)
    return 100 * scores.total("correct") / scores.how_many(), 100 * both_right / (scores.how_many() / 2)


# --- data sources -----------------------------------------------------------------------------------------------


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
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            question, tab, answer = line.strip().partition("\t")
            if not tab:
                raise UserError(f"mme: {path} line {number}: a question, a tab and an answer are expected")
            golds[path.stem, _bare(question)] = (question, answer)
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
    revision = argument.removeprefix("@") or HUB_REVISION
    files = download_dataset(HUB_REPOSITORY, revision, "data/test-*.parquet")
    samples = []
    for row in read_parquet(files, ["question_id", "question", "answer", "category"], heavy=["image"]):
        values = row.values
        name = Path(values["question_id"]).name
        where = f"mme: {row.path.name} row {row.number}"
        picture = row.picture("image", values["question_id"])
        samples.append(_sample(values["category"], name, values["question"], values["answer"], picture, where))
    return _dataset(f"hub@{resolved_revision(files, revision)}", samples)


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
        id=f"{picture}: {_bare(question)}",
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
    return f"{category}/{Path(name).name}: {_bare(question)}"


TASK = Task(
    name="mme",
    title="MME",
    card=Card(
        measures="perception (10 subtasks) and cognition (4): yes/no questions in pairs about a picture",
        size="2,374 questions on 1,187 pictures; perception 2,114, cognition 260",
        licence="academic research only; pictures under their sources' terms",
        citation="Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models (arXiv 2306.13394)",
        pitfalls=(
            'The "MME" of most tables is the perception total, out of 2000; some add cognition, out of 800.',
            'The original reads only the first four characters, so verbose answers lose and "snow" means no.',
            "Half a subtask's score is acc+, which wants both answers about a picture right: always yes gets 50 of 200.",
            'LLaVA and lmms-eval take out "Please answer yes or no."; VLMEvalKit asks with it.',
            "Small subtasks (20 pictures) move by 5 to 10 points with one answer.",
        ),
    ),
    max_new_tokens=128,
    protocols={
        "llava": TaskProtocol("perception (max 2000)", prompt_llava, score_llava, aggregate, maximum=2000),
        "lmms-eval": TaskProtocol(
            "perception (max 2000)", prompt_lmms_eval, score_lmms_eval, aggregate, max_new_tokens=16, maximum=2000
        ),
        "vlmevalkit": TaskProtocol(
            "perception (max 2000)", prompt_vlmevalkit, score_vlmevalkit, aggregate, max_new_tokens=2048, maximum=2000
        ),
    },
    sources={"answers": load_answers, "llava": load_llava, "tsv": load_tsv, "hub": load_hub, "mini": load_mini},
    answer_id=answer_id,
)
