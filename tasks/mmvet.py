"""MM-Vet: open questions that need several abilities at once, graded from 0 to 1 by a language model.

The grades come from `moe-eval judge` and reach the scorer as `sample.meta["grades"]`, one per run of the judge.
"""

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.mini.grader import grade_by_parts
from moe_eval.mini.mmvet import mini_mmvet
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import check_fields, locate, read_json
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import (
    Card,
    Dataset,
    Judge,
    JudgeCall,
    Judgement,
    Result,
    Sample,
    SampleScore,
    Submission,
    Task,
    TaskProtocol,
)

__all__ = ["TASK", "grade", "grade_as_lmms_eval", "grade_as_vlmevalkit"]

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")

PROMPTS = json.loads((Path(__file__).parent / "data" / "mmvet" / "grader_prompts.json").read_text(encoding="utf-8"))

HUB_REPOSITORY = "lmms-lab/MMVet"
HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""

GRADER = "share of the reference's parts, no judge"
"""Who grades generated samples as long as no judge has."""

STEP_BY_STEP = (
    "First please perform reasoning, and think step by step to provide best answer to the following question: "
)


# --- asking -----------------------------------------------------------------------------------------------------


def prompt(sample: Sample) -> str:
    """The question, nothing else."""
    return sample.question


def prompt_lmms_eval(sample: Sample) -> str:
    return f"{STEP_BY_STEP}\n\n{sample.question}"


# --- the judge --------------------------------------------------------------------------------------------------


def grade(sample: Sample, response: str) -> Judgement:
    """MM-Vet's own dialogue about one answer.

    One call; as long as the reply is no grade, up to five more that beg for a digit, ever hotter. The reply to the
    last one is not looked at: the grade is then 0.
    Source: MM-Vet `mm-vet_evaluator.py`; spec 10.
    """
    question = f"{PROMPTS['mm_vet']}\n{_row(sample, response)} | "
    reply = yield JudgeCall(question, temperature=0.0, max_tokens=3)
    for temperature in (0.0, 0.5, 1.0, 1.5, 2.0):
        value = _first_number(reply)
        if value is not None:
            return value
        reply = yield JudgeCall(question + PROMPTS["retry_suffix"], temperature, max_tokens=3)
    return 0.0


def grade_as_lmms_eval(sample: Sample, response: str) -> Judgement:
    """lmms-eval's dialogue: its own header, no blank after the last bar, longer replies.

    An empty reply is asked for again, three times in all, and is a 0 then. Where a reply is no number it asks twice,
    hotter by 0.5, and reads the second reply. A number that is out of range makes it ask the same again, without end;
    here, five times in all.
    Source: lmms-eval `mmvet/utils.py`, `mmvet_process_results`.
    """
    question = f"{PROMPTS['lmms_eval']}\n{_row(sample, response)} |"
    temperature, out_of_range = 0.0, 0
    while out_of_range < 5:
        reply = yield from _reply_to_lmms_eval(question, temperature)
        if not reply:
            return 0.0
        value = _number(reply.split(" ")[0])
        if value is None:
            temperature += 0.5
            yield from _reply_to_lmms_eval(question, temperature)
            if temperature >= 2:
                return 0.0
        elif 0.0 <= value <= 1.0:
            return value
        else:
            out_of_range += 1
    return 0.0


def _reply_to_lmms_eval(question: str, temperature: float) -> Generator[JudgeCall, str, str]:
    """The first of at most three replies that says anything."""
    for _ in range(3):
        reply = (yield JudgeCall(question, temperature, max_tokens=128)).strip()
        if reply:
            return reply
    return ""


def grade_as_vlmevalkit(sample: Sample, response: str) -> Judgement:
    """VLMEvalKit's dialogue: five calls, ever hotter; the whole reply must be a number.

    Its text before the row is MM-Vet's with line ends put in; ours has none.
    """
    question = f"{PROMPTS['mm_vet']}\n{_row(sample, response)} | "
    for attempt in range(5):
        value = _number((yield JudgeCall(question, temperature=0.5 * attempt, max_tokens=1024)))
        if value is not None and 0.0 <= value <= 1.0:
            return value
    return 0.0


def _row(sample: Sample, response: str) -> str:
    truth = str(sample.gold).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return f"{sample.question} | {truth} | {response}"


def _first_number(reply: str) -> float | None:
    """The grade that a reply starts with. A leading blank hides it, and "nan" is one: so has the original."""
    value = _number(reply.split(" ")[0].strip())
    return None if value is None or value < 0 or value > 1 else value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- scoring ----------------------------------------------------------------------------------------------------


def score(sample: Sample, response: str) -> SampleScore:
    """Capabilities and grades; the grades are the judge's, so without them there is no score. NaN is no grade.

    Generated samples alone, whose references list everything that is wanted, get a grade by rule if no judge has given
    one, and `grader` then says so.
    """
    capabilities = {"capabilities": ",".join(sample.meta["capabilities"])} if sample.meta.get("capabilities") else {}
    grades = sample.meta.get("grades") or ()
    if not grades and "grader" in sample.meta:
        value = grade_by_parts(sample.question, sample.gold, response)
        return {**capabilities, "grader": sample.meta["grader"], "grade_1": value, "score": value}
    if not grades or any(math.isnan(value) for value in grades):
        return capabilities
    runs = {f"grade_{number}": float(value) for number, value in enumerate(grades, start=1)}
    return {**capabilities, **runs, "score": fmean(grades)}


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: the mean grade in percent, mean over the judge's runs; there is none before every answer is graded.

    Beside it the total of each run and their (population) standard deviation, and the mean of the samples that need a
    capability, and of those that need exactly a combination of them.
    """
    graded = scores.where(lambda score: "score" in score)
    runs = min((sum(name.startswith("grade_") for name in score) for score in graded), default=0)
    if len(graded) < len(scores) or not scores:
        return Result(None, {"graded": f"{len(graded)} of {len(scores)} answers; `moe-eval judge` grades the others"})
    totals = {str(run): percent(scores, f"grade_{run}") for run in range(1, runs + 1)}
    total = sum(totals.values()) / runs
    variance = sum((value - total) ** 2 for value in totals.values()) / runs
    described = scores.where(lambda score: "capabilities" in score)
    of_capability = {name: described.where(partial(_needs, name)) for name in CAPABILITIES}
    of_combination = described.by(lambda score: "_".join(sorted(_capabilities(score))))
    graders = sorted({str(score["grader"]) for score in scores if "grader" in score})
    metrics: dict[str, Any] = {"grader": ", ".join(graders)} if graders else {}
    metrics |= {"total": total, "std": variance**0.5, "runs": totals}
    for name, kinds in (("capabilities", of_capability), ("combinations", dict(sorted(of_combination.items())))):
        table = {
            kind: {"grade": percent(members, "score"), "samples": len(members)}
            for kind, members in kinds.items()
            if members
        }
        if table:
            metrics[name] = table
    return Result(total, metrics)


def _needs(capability: str, score: SampleScore) -> bool:
    return capability in _capabilities(score)


def _capabilities(score: SampleScore) -> list[str]:
    return str(score["capabilities"]).split(",")


# --- data sources -----------------------------------------------------------------------------------------------


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their grades (question_id, grades)."""
    samples = []
    for where, row in read_stored("mmvet", argument, ("question_id", "grades")):
        grades = row["grades"]
        if not isinstance(grades, list) or not all(
            isinstance(value, int | float) and 0 <= value <= 1 for value in grades
        ):
            raise UserError(f"{where}: grades must be a list of numbers from 0 to 1, not {grades!r}")
        name = _name(row["question_id"])
        samples.append(_sample(name, "", None, row.get("capability"), NamedImage(name), grades=tuple(grades)))
    return _dataset(f"answers:{argument}", samples, has_images=False)


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `llava-mm-vet.jsonl`, `images/`, and `mm-vet.json`, which the judge needs."""
    path = locate("mmvet", argument, "llava-mm-vet.jsonl")
    metadata = path.parent / "mm-vet.json"
    known = read_json("mmvet", metadata, dict) if metadata.is_file() else {}
    samples = []
    for line, row in read_jsonl(path):
        where = f"mmvet: {path} line {line}"
        check_fields(row, ("question_id", "image", "text"), where)
        name = _name(row["question_id"])
        truth = known.get(name, {})
        if known:
            check_fields(truth, ("answer", "capability"), f"mmvet: {metadata} id {name}")
        image = ImageFile(path.parent / "images" / str(row["image"]))
        samples.append(_sample(name, row["text"], truth.get("answer"), truth.get("capability"), image))
    return _dataset(f"llava:{argument}", samples)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's MMVet.tsv."""
    samples = [
        _sample(_name(row.text("index")), row.text("question"), row.text("answer"), row.text("category"), row.image)
        for row in read_tsv(Path(argument), ["question", "answer", "category"])
    ]
    return _dataset(f"tsv:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: lmms-lab/MMVet. `hub@REVISION` takes another revision than the pinned one."""
    revision = argument.removeprefix("@") or HUB_REVISION
    files = download_dataset(HUB_REPOSITORY, revision, "data/test-*.parquet")
    samples = []
    for row in read_parquet(files, ["question_id", "question", "answer", "capability"], heavy=["image"]):
        values = row.values
        name = _name(values["question_id"])
        picture = row.picture("image", name)
        samples.append(_sample(name, values["question"], values["answer"], values["capability"], picture))
    return _dataset(f"hub@{resolved_revision(files, revision)}", samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: questions about drawn pictures, graded without a judge; `mini:train:COUNT` about COUNT other ones."""
    samples = []
    for scene, row in mini_mmvet(argument):
        sample = _sample(row["id"], row["question"], row["answer"], row["capability"], scene)
        samples.append(replace(sample, meta={**sample.meta, "grader": GRADER, "response": row["response"]}))
    scenes = {scene.name for sample in samples for scene in sample.images}
    version = f"{len(samples):,} generated questions on {len(scenes):,} drawn scenes"
    return Dataset(f"mini:{argument}" if argument else "mini", version, samples, official=False)


def _name(question_id: Any) -> str:
    """`v1_7` of what LLaVA and VLMEvalKit call 7."""
    name = str(question_id)
    return f"v1_{name}" if name.isdecimal() else name


def _sample(
    name: str,
    question: str,
    answer: str | None,
    capability: str | Sequence[str] | None,
    image: ImageRef,
    grades: tuple[float, ...] = (),
) -> Sample:
    capabilities = capability.split(",") if isinstance(capability, str) else capability or ()
    meta = {"capabilities": tuple(one.strip() for one in capabilities), **({"grades": grades} if grades else {})}
    return Sample(id=name, question=question, images=(image,), gold=answer, group=image.name, meta=meta)


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    official = len(samples) == 218
    version = "all 218 questions" if official else f"{len(samples):,} questions, not MM-Vet's 218"
    return Dataset(source, version, samples, official, has_images)


def answer_id(answer: Mapping[str, Any]) -> str:
    return _name(answer["question_id"])


# --- submission -------------------------------------------------------------------------------------------------


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """The JSON object of id and answer that MM-Vet's evaluators read.

    Source: LLaVA `scripts/convert_mmvet_for_eval.py`.
    """
    texts = {sample.id: answers[sample.id] for sample in dataset.samples}
    return json.dumps(texts, indent=2).encode()


def _protocol(ask: Any, judge: Judge, max_new_tokens: int | None = None) -> TaskProtocol:
    return TaskProtocol("mean grade (%)", ask, score, aggregate, max_new_tokens, judge)


TASK = Task(
    name="mmvet",
    title="MM-Vet",
    card=Card(
        measures="open questions that need several of six abilities: rec, ocr, know, gen, spat, math; graded by GPT-4",
        size="218 questions on 200 pictures, 16 combinations of abilities",
        licence="CC BY-NC 4.0",
        citation="Yu et al., MM-Vet: Evaluating Large Multimodal Models for Integrated Capabilities, ICML 2024 (arXiv 2308.02490)",
        pitfalls=(
            "The grade is the judge's: published numbers are gpt-4 of 2023 (MoE-LLaVA: gpt-4-0613, one run; the authors: five).",
            "Judges drift: the released LLaVA-1.5-7B answers, 31.1 in the paper, get 27.9 from today's official grader.",
            "The same judge differs by 0.2 to 0.5 between runs.",
            "lmms-eval asks for step-by-step reasoning, and its default judge is gpt-4o.",
            "lmms-eval samples answers at temperature 0.2 and asks for ever after a grade out of range; here greedy, five times.",
            "Pictures are fed unpadded by MoE-LLaVA, padded to a square by LLaVA.",
        ),
    ),
    max_new_tokens=1024,
    protocols={
        "llava": _protocol(prompt, Judge("gpt-4-0613", grade)),
        "lmms-eval": _protocol(prompt_lmms_eval, Judge("gpt-4o-2024-11-20", grade_as_lmms_eval)),
        "vlmevalkit": _protocol(prompt, Judge("gpt-4-turbo", grade_as_vlmevalkit), max_new_tokens=2048),
    },
    sources={"answers": load_answers, "llava": load_llava, "tsv": load_tsv, "hub": load_hub, "mini": load_mini},
    unpadded_families=frozenset({"moe-llava"}),
    answer_id=answer_id,
    submission=Submission(
        filename="mmvet.json",
        upload="https://huggingface.co/spaces/whyu/MM-Vet_Evaluator (or grade it with `moe-eval judge`)",
        write=write_submission,
        rows=218,
    ),
)
