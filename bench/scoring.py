"""Scored answers per second, task by task, beside a straightforward scorer: `python -m bench.scoring`.

VQAv2, VizWiz, TextVQA and GQA are made up at their full sizes (214,354 questions for VQAv2's validation split): nine of
ten answers are among 3,000 common ones, as in VQAv2, ten annotators mostly agree, and predictions are mostly one of
their answers, with the capitals, articles, periods and symbols that normalisation is about. Other tasks score the released answers in
`tests/data`. The straightforward scorer takes the official VQA steps question by question, each string as often as it
comes, and remembers nothing; it must give the same numbers. lmms-eval's own functions are timed where it is installed.
Ours runs first, with cold caches, through `score_answers`, so everything that `moe-eval score` computes is in it. Seconds
are of processor time, all in one thread.
"""

import argparse
import json
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from moe_eval.images import NamedImage
from moe_eval.registry import find_task
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset, Sample

SIZES = {"vqav2": 214_354, "gqa": 12_578, "vizwiz": 4_319, "textvqa": 5_000}
RELEASED = Path(__file__).parents[1] / "tests" / "data" / "llava15_13b"
TABLES = json.loads(
    (Path(__file__).parents[1] / "moe_eval" / "metrics" / "vqa_normalisation.json").read_text(encoding="utf-8")
)


def made_up(task: str, size: int) -> tuple[Dataset, dict[str, str]]:
    """Questions with gold, and answers to them by id; the same on every machine."""
    generator = random.Random(f"bench {task}")
    words = ["".join(generator.choices("abcdefghijklmnoprstuvwy", k=generator.randint(2, 9))) for _ in range(20_000)]
    vocabulary = [*"yes no unanswerable 0 1 2 3 4 5 two none white red blue black".split(), *words]
    heights = list(accumulate(1 / (rank + 2) for rank in range(len(vocabulary))))

    def rare() -> str:
        return " ".join(generator.choices(vocabulary, cum_weights=heights, k=generator.choice([1, 1, 1, 1, 2, 3])))

    common = [rare() for _ in range(3_000)]
    shares = list(accumulate(1 / (rank + 2) for rank in range(len(common))))

    def phrase() -> str:
        return generator.choices(common, cum_weights=shares)[0] if generator.random() < 0.9 else rare()

    samples, answers = [], {}
    for number in range(size):
        candidates = [phrase() for _ in range(generator.choice([1, 2, 3, 4, 6]))]
        gold = tuple(
            sys.intern(answer) for answer in generator.choices(candidates, [9, 3, 2, 1, 1, 1][: len(candidates)], k=10)
        )
        prediction = generator.choice(gold) if generator.random() < 0.7 else phrase()
        form = generator.choice(["{}", "{}", "{}", "{}", "the {}", "{}.", "{}'s", "{}-{}", "{}, {}", "1,000 {}"])
        kind = {"question_type": f"what {number % 65}", "answer_type": ("other", "number", "yes/no")[number % 3]}
        name = str(number)
        samples.append(
            Sample(
                id=name,
                question="What is it?",
                images=(NamedImage(f"{number // 5}.jpg"),),
                gold=gold[0] if task == "gqa" else gold,
                group=f"{number // 5}.jpg",
                meta={} if task == "gqa" else kind,
            )
        )
        answers[name] = form.format(prediction, prediction).capitalize()
    return Dataset("made up", "made up", samples, official=False), answers


def released(task: str) -> tuple[Dataset, dict[str, str]] | None:
    """The released LLaVA-1.5-13B answers to a task, where the repository has them with their gold."""
    from moe_eval.scoring.answers import read_answers

    found = next(RELEASED.glob(f"{task}*.jsonl.gz"), None)
    if found is None or task not in ("pope", "mme", "scienceqa", "mmbench"):
        return None
    benchmark = find_task(task)
    first = next(iter(benchmark.sources))
    dataset = benchmark.load(f"answers:{found}" if first == "answers" else first)
    return dataset, read_answers(benchmark, dataset, found)


# --- straightforward scorers ------------------------------------------------------------------------------------


def plain_official(prediction: str, answers: Sequence[str]) -> float:
    """VQAv2's official steps, in order, for one question."""
    answers = [plain_clean(answer) for answer in answers]
    prediction = plain_clean(prediction)
    if len(set(answers)) > 1:
        answers = [plain_words(plain_punctuation(answer, r"(\d)(\,)(\d)")) for answer in answers]
        prediction = plain_words(plain_punctuation(prediction, r"(\d)(\,)(\d)"))
    return plain_consensus(prediction, answers)


def plain_llava(prediction: str, answers: Sequence[str]) -> float:
    """What LLaVA uploads, scored by the official steps."""
    return plain_official(plain_m4c(prediction), answers)


def plain_textvqa(prediction: str, answers: Sequence[str]) -> float:
    """m4c's steps for prediction and answers."""
    return plain_consensus(plain_m4c(prediction), [plain_m4c(answer) for answer in answers])


def plain_clean(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def plain_m4c(text: str) -> str:
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return plain_words(plain_punctuation(plain_clean(text), r"(?<=\d)(\,)+(?=\d)"))


def plain_punctuation(text: str, number: str) -> str:
    out = text
    for symbol in TABLES["punctuation"]:
        if symbol + " " in text or " " + symbol in text or re.search(number, text) is not None:
            out = out.replace(symbol, "")
        else:
            out = out.replace(symbol, " ")
    return re.sub(r"(?!<=\d)(\.)(?!\d)", "", out, count=32)


def plain_words(text: str) -> str:
    words = []
    for word in text.lower().split():
        word = TABLES["numbers"].get(word, word)
        if word not in TABLES["articles"]:
            words.append(word)
    return " ".join(TABLES["contractions"].get(word, word) for word in words)


def plain_consensus(prediction: str, answers: Sequence[str]) -> float:
    scores = []
    for left_out in range(len(answers)):
        others = [answer for index, answer in enumerate(answers) if index != left_out]
        scores.append(min(1.0, sum(other == prediction for other in others) / 3))
    return sum(scores) / len(scores)


PLAIN: dict[tuple[str, str], Callable[[str, Sequence[str]], float]] = {
    ("vqav2", "llava"): plain_llava,
    ("vqav2", "official"): plain_official,
    ("textvqa", "llava"): plain_textvqa,
}


def lmms_eval_scorer(task: str) -> Callable[[str, Sequence[str]], float] | None:
    """lmms-eval's own function for one question, if it is installed."""
    try:
        if task == "vqav2":
            from lmms_eval.tasks.vqav2.utils import vqav2_process_results as process
        elif task == "textvqa":
            from lmms_eval.tasks.textvqa.utils import textvqa_process_results as process
        elif task == "vizwiz":
            from lmms_eval.tasks.vizwiz_vqa.utils import vizwiz_vqa_process_results as process
        else:
            return None
    except ImportError:
        return None

    def score(prediction: str, answers: Sequence[str]) -> float:
        records: list[Any] = list(answers)
        if task == "vqav2":
            records = [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(answers, 1)]
        return float(process({"question_id": 0, "answers": records}, [prediction])["exact_match"])

    return score


# --- measuring --------------------------------------------------------------------------------------------------


def measure(task: str, data: tuple[Dataset, dict[str, str]], compare: int) -> Iterator[dict[str, Any]]:
    """One row per protocol: ours on all answers, the others on at most `compare` of them."""
    dataset, answers = data
    for name in find_task(task).protocols:
        start = time.process_time()
        scores = score_answers(find_task(task), name, dataset, answers, intervals=False)
        seconds = time.process_time() - start
        row = {
            "task": task,
            "protocol": name,
            "answers": len(answers),
            "seconds": round(seconds, 3),
            "per_second": round(len(answers) / seconds),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        others = {"plain": PLAIN.get((task, name))}
        if name == "lmms-eval":
            others["lmms_eval"] = lmms_eval_scorer(task)
        for other, scorer in others.items():
            if scorer:
                part = dataset.samples[:compare]
                start = time.process_time()
                theirs = [scorer(answers[sample.id], sample.gold) for sample in part]
                row[f"{other}_per_second"] = round(len(part) / (time.process_time() - start))
                row[f"times_{other}"] = round(row["per_second"] / row[f"{other}_per_second"], 1)
                ours = [entry["score"] for entry in scores.samples[:compare]]
                assert all(abs(a - b) < 1e-9 for a, b in zip(ours, theirs, strict=True)), (
                    f"{task} {name}: scores differ"
                )
        yield row


def main() -> None:
    """Print a line per task and protocol; with `--out`, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=int, default=10**9, help="answers that the other scorers get; default: all")
    parser.add_argument("--tasks", default="vqav2,gqa,vizwiz,textvqa,pope,mme,scienceqa,mmbench")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = []
    for task in options.tasks.split(","):
        data = made_up(task, SIZES[task]) if task in SIZES else released(task)
        for row in measure(task, data, options.compare) if data else ():
            rows.append(row)
            print(
                "  ".join(
                    f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in row.items()
                ),
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
