"""easy-VQA: questions about one drawn shape. The example of docs/adding-a-task.md, and of own data in docs/training.md."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.images import ImageFile
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Task, TaskProtocol

KINDS = {
    **dict.fromkeys(("yes", "no"), "yes/no"),
    **dict.fromkeys(("circle", "rectangle", "triangle"), "shape"),
    **dict.fromkeys(("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"), "colour"),
}
"""All thirteen answers, and what is asked for where one of them is right."""

TEST_SIZE = 9_673


def prompt(sample: Sample) -> str:
    """The question, and LLaVA's words for a short answer."""
    return f"{sample.question}\nAnswer the question using a single word or phrase."


def score(sample: Sample, response: str) -> SampleScore:
    """Right if the answer is the gold one, whatever its case, blanks around it and a full stop at its end."""
    prediction = response.strip().lower().removesuffix(".")
    return {"kind": KINDS[sample.gold], "prediction": prediction, "correct": int(prediction == sample.gold)}


def aggregate(scores: Sequence[SampleScore]) -> Result:
    """Accuracy in percent, over all questions and over those of each kind."""
    of_kind: dict[str, list[int]] = {}
    for one in scores:
        of_kind.setdefault(str(one["kind"]), []).append(int(one["correct"]))
    kinds = {kind: {"accuracy": 100 * sum(of_kind[kind]) / len(of_kind[kind])} for kind in sorted(of_kind)}
    return Result(100 * sum(map(sum, of_kind.values())) / max(len(scores), 1), {"kinds": kinds})


def load_package(argument: str) -> Dataset:
    """`package` (the test split) or `package:train`: questions and pictures of the installed package easy-vqa."""
    if argument not in ("", "train"):
        raise UserError(f"easyvqa: package has the test split, and package:train the other; there is no {argument!r}")
    try:
        import easy_vqa
    except ImportError as error:
        raise UserError("easyvqa: its data are a package: pip install easy-vqa (3 MB)") from error
    split = argument or "test"
    paths, rows = {
        "test": (easy_vqa.get_test_image_paths, easy_vqa.get_test_questions),
        "train": (easy_vqa.get_train_image_paths, easy_vqa.get_train_questions),
    }[split]
    pictures = {number: ImageFile(Path(path)) for number, path in paths().items()}
    samples = []
    for number, (question, answer, picture) in enumerate(zip(*rows(), strict=True)):
        if answer not in KINDS or picture not in pictures:
            raise UserError(f"easyvqa: question {number}: no picture {picture}, or no such answer as {answer!r}")
        samples.append(Sample(str(number), question, (pictures[picture],), answer, group=f"{picture}.png"))
    version = f"{len(samples):,} {split} questions on {len(pictures):,} pictures"
    source = "package:train" if argument else "package"
    return Dataset(source, version, samples, official=split == "test" and len(samples) == TEST_SIZE)


TASK = Task(
    name="easyvqa",
    title="easy-VQA",
    card=Card(
        measures="shape and colour of the one thing in a drawn picture of 64 by 64 pixels",
        size="test: 9,673 questions on 1,000 pictures, 7,136 of them yes/no; 13 answers; train: 38,575 on 4,000",
        licence="MIT",
        citation="Zhou, easy-VQA, 2019 (https://victorzhou.com/blog/easy-vqa)",
        pitfalls=(
            "Three of four questions are yes/no, so saying yes or no at random gets 37 %.",
            'Many are negated: "is there not a circle?" is answered "yes" where there is none.',
            'One gold answer: "it is red" is wrong where the answer is "red", and so is "grey" for "gray".',
        ),
    ),
    max_new_tokens=16,
    protocols={"llava": TaskProtocol("accuracy (%)", prompt, score, aggregate)},
    sources={"package": load_package},
)
