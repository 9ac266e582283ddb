"""MMBench: multiple-choice questions on twenty abilities, each asked again with its options rotated.

A question counts in the headline, the circular accuracy, only if it is answered right in every rotation. Rows of the
data are rotations: `index % 1,000,000` is the question, `index // 1,000,000` the rotation, and options and answer are
rotated already.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.images import ImageRef, NamedImage
from moe_eval.metrics.means import percent
from moe_eval.metrics.multiple_choice import letter_by_lmms_eval, letter_by_static_rules, letter_by_vlmevalkit
from moe_eval.metrics.totals import Number, Scores, of_totals
from moe_eval.mini.mmbench import mini_mmbench
from moe_eval.prompts import OPTION_LETTER, lettered
from moe_eval.sources.hub import download_dataset, resolved_revision
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

__all__ = ["ABILITIES", "TASK", "match_as_lmms_eval", "match_as_vlmevalkit"]

ABILITIES = {
    "logic_reasoning": ("structuralized_imagetext_understanding", "future_prediction"),
    "attribute_reasoning": ("function_reasoning", "identity_reasoning", "physical_property_reasoning"),
    "relation_reasoning": ("social_relation", "nature_relation", "physical_relation"),
    "finegrained_perception (instance-level)": (
        "object_localization",
        "attribute_recognition",
        "celebrity_recognition",
        "ocr",
    ),
    "finegrained_perception (cross-instance)": ("spatial_relationship", "attribute_comparison", "action_recognition"),
    "coarse_perception": ("image_scene", "image_style", "image_emotion", "image_quality", "image_topic"),
}
"""Group (`l2-category`) → its abilities (`category`), for the order of tables; the data say what belongs where."""

KINDS = {"group": "ability_group", "ability": "ability"}
"""Name in `Sample.meta` → field of a score."""

LETTERS = "ABCD"
LETTER_PROMPTS = json.loads(
    (Path(__file__).parent / "data" / "mmbench" / "letter_prompts.json").read_text(encoding="utf-8")
)
CHINESE = re.compile("[\u4e00-\u9fff]")
TRIES = 3
ROTATION = 1_000_000

VERSIONS = {
    (4377, 1176): "dev of 2023-07-12, as LLaVA and MoE-LLaVA score",
    (4329, 1164): "dev of 2023-10-03, not the papers' 4,377 rows",
    (6666, 1784): "test, whose answers are hidden",
}
"""(rows, questions) → what that is."""

HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""

HUB_REVISIONS = {"lmms-lab/MMBench_EN": "ecd23e001f5c649c959eda84b846a01cc6fafbde"}
"""Repositories whose commit is known, from a stored copy of the hub's page."""

HUB_FILES = {
    "dev": ("lmms-lab/MMBench_EN", "data/dev-*.parquet", "en"),
    "dev-new": ("lmms-lab/MMBench", "en/dev-*.parquet", "en"),
    "test": ("lmms-lab/MMBench", "en/test-*.parquet", "en"),
    "cn-dev": ("lmms-lab/MMBench", "cn/dev-*.parquet", "cn"),
    "cn-test": ("lmms-lab/MMBench", "cn/test-*.parquet", "cn"),
}
"""Our name of a split → repository, files, language."""

CHINESE_LETTER = {"llava": "请直接回答选项字母。", "lmms-eval": "请直接使用所提供的选项字母作为答案回答。"}


# --- asking -----------------------------------------------------------------------------------------------------


def prompt_llava(sample: Sample) -> str:
    """Hint, question, options up to the first that is missing ("nan" and "none" are, too), letter suffix."""
    options = {}
    for letter in LETTERS:
        text = sample.meta["options"].get(letter)
        if text is None or text.lower() in ("nan", "none"):
            break
        options[letter] = text
    return "\n".join([*_hint(sample), sample.question, lettered(options), _suffix(sample, "llava")])


def prompt_lmms_eval(sample: Sample) -> str:
    """On one line, with "There are several options:"; a blank line before the suffix."""
    options = {letter: text for letter, text in sample.meta["options"].items() if text not in ("", "nan")}
    start = " ".join([*_hint(sample), sample.question, "There are several options:"])
    return f"{start}\n{lettered(options)}\n\n{_suffix(sample, 'lmms-eval')}"


def prompt_vlmevalkit(sample: Sample) -> str:
    """As its wrapper for LLaVA asks: all options, and a hint where there is one."""
    return "\n".join([*_hint(sample), sample.question, lettered(_options(sample)), _suffix(sample, "llava")])


def _hint(sample: Sample) -> list[str]:
    hint = sample.meta.get("hint")
    return [hint] if hint and hint != "nan" else []


def _suffix(sample: Sample, protocol: str) -> str:
    return CHINESE_LETTER[protocol] if sample.meta.get("language") == "cn" else OPTION_LETTER


def _options(sample: Sample) -> dict[str, str]:
    """Options as pandas has them: text that says "nan" is none."""
    return {letter: text for letter, text in sample.meta["options"].items() if text != "nan"}


# --- the judge --------------------------------------------------------------------------------------------------


def match_as_lmms_eval(sample: Sample, response: str) -> Judgement:
    """The letter of the option that is most like the answer, E for none, as lmms-eval's `gpt_eval` asks for it.

    Three tries; then a random letter, here always the same one for a question, so that a run can be repeated.
    Source: lmms-eval `mmbench_evals.py`, `extract_answer_from_item`; spec 9.
    """
    options = sample.meta["options"]
    question = _letter_question("lmms_eval", sample, _leading(options), response.strip())
    for _ in range(TRIES):
        reply = yield JudgeCall(question, temperature=0.0, max_tokens=256)
        if letter := letter_by_lmms_eval(reply.strip(), options):
            return letter
    return _random_letter(sample, f"{LETTERS}E")


def match_as_vlmevalkit(sample: Sample, response: str) -> Judgement:
    """The letter of the option that is most like the answer, Z for none, as VLMEvalKit asks for it.

    In Chinese where the question is. Three tries; then a random letter, here always the same one for a question.
    Source: VLMEvalKit `multiple_choice.py`, `extract_answer_from_item`; spec 9.
    """
    options = _options(sample)
    name = "vlmevalkit_cn" if CHINESE.search(sample.question) else "vlmevalkit"
    question = _letter_question(name, sample, options, response.strip())
    for _ in range(TRIES):
        reply = yield JudgeCall(question, temperature=0.0, max_tokens=1024)
        if letter := letter_by_vlmevalkit(reply, options):
            return letter
    return _random_letter(sample, [*options, "Z"])


def undecided(
    read: Callable[[Sample, str], str], samples: Sequence[Sample], answers: Mapping[str, str]
) -> list[Sample]:
    """Samples whose answers the rules do not read, of questions that no other rotation has lost already.

    Args:
        read: the letter by rules, empty if there is none.
    """
    letters = {sample.id: read(sample, answers[sample.id]) for sample in samples}
    lost = {sample.group for sample in samples if letters[sample.id] and letters[sample.id] != sample.gold}
    return [sample for sample in samples if not letters[sample.id] and sample.group not in lost]


def _letter_question(name: str, sample: Sample, options: Mapping[str, str], answer: str) -> str:
    listed = "".join(f"{letter}. {text}\n" for letter, text in options.items())
    return str(LETTER_PROMPTS[name]).format(sample.question, f"There are several options: \n{listed}", answer)


def _leading(options: Mapping[str, str]) -> dict[str, str]:
    """Options up to the first that is missing."""
    count = next((place for place, letter in enumerate(LETTERS) if letter not in options), len(LETTERS))
    return {letter: options[letter] for letter in LETTERS[:count]}


def _random_letter(sample: Sample, letters: Iterable[str]) -> str:
    return random.Random(sample.id).choice(list(letters))


# --- scoring ----------------------------------------------------------------------------------------------------


def score_llava(sample: Sample, response: str) -> SampleScore:
    """Only the bare letter counts. What the server makes of other answers is beside it, as `resolved`."""
    return _score(sample, response, resolved=letter_by_lmms_eval(response, sample.meta["options"]))


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """MMBench's own first rules, then the judge, and without one lmms-eval's static rules, which stand in for it.

    `resolved` is the letter by the first rules alone.
    """
    resolved, judged = _read_as_lmms_eval(sample, response), _judged_letter(sample)
    letter = resolved or judged or letter_by_static_rules(response.strip(), sorted(sample.meta["options"]))
    return {**_score(sample, letter, resolved=resolved), **_reader(resolved, judged)}


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """VLMEvalKit's rules, then the judge; without one, what they do not resolve is wrong (its `exact_matching`)."""
    resolved, judged = _read_as_vlmevalkit(sample, response), _judged_letter(sample)
    return {**_score(sample, resolved or judged), **_reader(resolved, judged)}


def _read_as_lmms_eval(sample: Sample, response: str) -> str:
    return letter_by_lmms_eval(response.strip(), sample.meta["options"])


def _read_as_vlmevalkit(sample: Sample, response: str) -> str:
    return letter_by_vlmevalkit(response, _options(sample))


def _judged_letter(sample: Sample) -> str:
    """The letter that the judge gave most often, the first of several; empty if it has not read the answer."""
    grades = sample.meta.get("grades")
    return str(Counter(grades).most_common(1)[0][0]) if grades else ""


def _reader(resolved: str, judged: str) -> dict[str, int]:
    return {"unresolved": int(not resolved and not judged), "by_judge": int(not resolved and bool(judged))}


def _score(sample: Sample, prediction: str, **letters: str) -> SampleScore:
    """`letters` are other readings of the same answer; each gets its own circular accuracy."""
    index = int(sample.id)
    score: dict[str, float | int | str] = {
        **{field: sample.meta[name] for name, field in KINDS.items() if sample.meta.get(name)},
        "question": index % ROTATION,
        "rotation": index // ROTATION,
        "rotations": sample.meta["rotations"],
        "prediction": prediction if len(prediction) == 1 else "",
        **letters,
    }
    if sample.gold is None:
        return score
    return {**score, "gold": sample.gold, "correct": int(prediction == sample.gold)}


def aggregate(scores: Scores[SampleScore], readings: Mapping[str, str]) -> Result:
    """Headline: circular accuracy in percent. Single-pass, over all rows, and both by group and ability are beside it.

    Args:
        readings: name in the breakdown → field of a score that holds another reading of the answers.

    Raises:
        UserError: naming a question of which a rotation is not scored.
    """
    known = scores.where(lambda score: "correct" in score)
    if not known:
        return Result(headline=None, metrics={})
    questions = _questions(known)
    metrics: dict[str, Any] = {
        "circular": _circular(questions, _is_correct),
        "single_pass": percent(known, "correct"),
    }
    for name, field in readings.items():
        metrics[name] = _circular(questions, partial(_is_gold, field))
    metrics["rows"], metrics["questions"] = len(known), sum(map(_times, questions))
    if "unresolved" in known[0]:
        metrics["letters_unresolved"] = known.total("unresolved")
        metrics["letters_by_judge"] = known.total("by_judge")
    for kind, order in (
        ("ability_group", list(ABILITIES)),
        ("ability", [name for names in ABILITIES.values() for name in names]),
    ):
        table = _by_kind(questions, kind, order, readings)
        if table:
            metrics[{"ability_group": "groups", "ability": "abilities"}[kind]] = table
    return Result(headline=metrics["circular"], metrics=metrics)


Question = tuple[SampleScore, ...]
"""The scores of all rotations of a question."""


def _questions(scores: Scores[SampleScore]) -> Scores[Question]:
    questions = scores.together(lambda score: score["question"])
    for question in questions:
        number, seen = int(question[0]["question"]), {int(score["rotation"]) for score in question}
        missing = sorted(set(range(int(question[0]["rotations"]))) - seen)
        if missing:
            raise UserError(
                f"mmbench: row {number + ROTATION * missing[0]} is not scored, a rotation of question {number}: circular "
                "accuracy needs all of them; answer it, or leave out the whole question"
            )
    return questions


def _times(question: Question) -> int:
    """How often the question is there: more than once in a resampled data set."""
    return len(question) // int(question[0]["rotations"])


def _circular(questions: Scores[Question], is_right: Callable[[SampleScore], bool]) -> Number:
    right = questions.total(lambda question: _times(question) if all(map(is_right, question)) else 0)
    return 100 * right / questions.total(_times)


def _is_correct(score: SampleScore) -> bool:
    return bool(score["correct"])


def _is_gold(field: str, score: SampleScore) -> bool:
    return score[field] == score["gold"]


def _by_kind(
    questions: Scores[Question], kind: str, order: Sequence[str], readings: Mapping[str, str]
) -> dict[str, dict[str, Number]]:
    of_kind = questions.where(lambda question: kind in question[0]).by(lambda question: str(question[0][kind]))
    names = sorted(of_kind, key=lambda name: (order.index(name) if name in order else len(order), name))
    return {
        name: {
            "circular": _circular(of_kind[name], _is_correct),
            "single_pass": percent(of_kind[name].expand(list), "correct"),
            **{reading: _circular(of_kind[name], partial(_is_gold, field)) for reading, field in readings.items()},
            "questions": sum(map(_times, of_kind[name])),
        }
        for name in names
    }


# --- data sources -----------------------------------------------------------------------------------------------


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their gold (index, A, B, C, D, answer)."""
    rows = [
        _row(record, None, where) for where, record in read_stored("mmbench", argument, ("index", *LETTERS, "answer"))
    ]
    return _dataset(f"answers:{argument}", rows, has_images=False)


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
        for row in read_tsv(path, ["question"], COLUMNS)
    ]


def load_hub(argument: str) -> Dataset:
    """`hub`: the papers' 4,377 dev rows; `hub:dev-new`, `hub:test`, `hub:cn-dev`, `hub:cn-test`. `@REVISION` pins."""
    name, _, revision = argument.partition("@")
    name = name or "dev"
    if name not in HUB_FILES:
        raise unknown("split of MMBench", name, HUB_FILES)
    repository, pattern, language = HUB_FILES[name]
    revision = revision or HUB_REVISIONS.get(repository, HUB_REVISION)
    files = download_dataset(repository, revision, pattern)
    columns = ["index", "question", "hint", *LETTERS, "answer", "category", "L2-category", "split"]
    rows = []
    for row in read_parquet(files, columns, heavy=["image"]):
        values = {**row.values, "l2-category": row.values["L2-category"], "language": language}
        picture = row.picture("image", str(values["index"]))
        rows.append(_row(values, picture, f"mmbench: {row.path.name} row {row.number}"))
    return _dataset(f"hub:{name}@{resolved_revision(files, revision)}", rows)


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


# --- submission -------------------------------------------------------------------------------------------------


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """The xlsx of LLaVA's `scripts/convert_mmbench_for_submission.py`: a row per row of the data, in its order."""
    from moe_eval.scoring.submission import write_xlsx

    answered = any(sample.gold is not None for sample in dataset.samples)
    header = ["index", "question", *LETTERS, "prediction", *(["answer"] if answered else []), "split"]
    rows = []
    for sample in dataset.samples:
        options = [_options(sample).get(letter, "") for letter in LETTERS]
        gold = [sample.gold or ""] if answered else []
        rows.append([int(sample.id), sample.question, *options, answers[sample.id], *gold, sample.meta["split"] or ""])
    return write_xlsx(header, rows)


TASK = Task(
    name="mmbench",
    title="MMBench",
    card=Card(
        measures="twenty abilities in six groups, by multiple-choice questions asked in every rotation of their options",
        size="dev 4,377 rows (1,176 questions, version 2023-07-12); test 6,666 rows (1,784 questions, hidden answers)",
        licence="Apache-2.0; pictures and questions from several sources under their own terms",
        citation="Liu et al., MMBench: Is Your Multi-modal Model an All-around Player?, ECCV 2024 (arXiv 2307.06281)",
        pitfalls=(
            "Papers print circular accuracy; single-pass is about nine points higher for the same answers.",
            "Today's dev set (VLMEvalKit, the hub's default) is a later version with 4,329 rows.",
            "The protocol llava counts bare letters only; the server resolves other answers by rules and a language model.",
            "Under lmms-eval and vlmevalkit, too, a language model reads what the rules leave open, if `moe-eval judge` is "
            "run; without, `letters_unresolved` says how many those are, and static rules or nobody reads them.",
            "A judge is not asked about questions that another rotation has lost, so single-pass is partly without it.",
            "lmms-eval asks with options behind the question on one line, which some models take badly.",
            "The Chinese set is asked with another suffix in LLaVA than in lmms-eval.",
        ),
    ),
    max_new_tokens=1024,
    protocols={
        "llava": TaskProtocol(
            "circular accuracy (%)",
            prompt_llava,
            score_llava,
            of_totals(partial(aggregate, readings={"circular_resolved": "resolved"})),
        ),
        "lmms-eval": TaskProtocol(
            "circular accuracy (%)",
            prompt_lmms_eval,
            score_lmms_eval,
            of_totals(partial(aggregate, readings={"circular_prefetch_only": "resolved"})),
            judge=Judge("gpt-4o-2024-11-20", match_as_lmms_eval, undecided=partial(undecided, _read_as_lmms_eval)),
        ),
        "vlmevalkit": TaskProtocol(
            "circular accuracy (%)",
            prompt_vlmevalkit,
            score_vlmevalkit,
            of_totals(partial(aggregate, readings={})),
            max_new_tokens=2048,
            judge=Judge("gpt-3.5-turbo-0125", match_as_vlmevalkit, undecided=partial(undecided, _read_as_vlmevalkit)),
        ),
    },
    sources={"answers": load_answers, "llava": load_llava, "tsv": load_tsv, "hub": load_hub, "mini": load_mini},
    answer_id=answer_id,
    submission=Submission(
        filename="mmbench.xlsx",
        upload="https://mmbench.opencompass.org.cn/mmbench-submission",
        write=write_submission,
    ),
)
