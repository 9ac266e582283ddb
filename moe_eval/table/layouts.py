"""Which numbers the comparison tables show, and where they are found."""

from collections.abc import Iterable

from moe_eval.table.rows import Column, Layout

__all__ = ["MAIN", "POPE", "headlines"]

POPE_SPLITS = "random+popular+adversarial(2910/3000/3000)"


def _pope_column(category: str, title: str, published: str, measured: str) -> Column:
    return Column(
        title=title,
        group=category,
        published=("POPE", category, published),
        measured=("pope", ("metrics", "categories", category, measured)),
        higher_is_better=measured != "yes_ratio",
    )


POPE = Layout(
    name="pope",
    title="POPE: object hallucination",
    own_title="POPE: object hallucination, on other questions than the papers'",
    columns=(
        *(
            _pope_column(category, title, published, measured)
            for category in ("adversarial", "popular", "random")
            for title, published, measured in (
                ("Acc", "accuracy", "accuracy"),
                ("F1", "f1", "f1"),
                ("Yes", "yes_ratio_percent", "yes_ratio"),
            )
        ),
        Column(
            title="F1",
            group="mean",
            published=("POPE", POPE_SPLITS, "mean_f1"),
            measured=("pope", ("headline", "value")),
        ),
    ),
)

IMAGE_QA, TOOLKIT = "Image QA", "Toolkit"


def _headline_column(group: str, title: str, task: str, published: tuple[str, str, str]) -> Column:
    return Column(title, group, published, measured=(task, ("headline", "value")))


MAIN = Layout(
    name="main",
    title="Nine benchmarks, as MoE-LLaVA reports them",
    own_title="Nine benchmarks, on other questions than the papers'",
    columns=(
        _headline_column(IMAGE_QA, "VQAv2", "vqav2", ("VQAv2", "test-dev", "accuracy")),
        _headline_column(IMAGE_QA, "GQA", "gqa", ("GQA", "testdev_balanced", "accuracy")),
        _headline_column(IMAGE_QA, "VizWiz", "vizwiz", ("VizWiz", "test", "accuracy")),
        _headline_column(IMAGE_QA, "SQA-IMG", "scienceqa", ("ScienceQA-IMG", "test(image)", "accuracy")),
        _headline_column(IMAGE_QA, "TextVQA", "textvqa", ("TextVQA", "val", "accuracy")),
        _headline_column(TOOLKIT, "POPE", "pope", ("POPE", POPE_SPLITS, "mean_f1")),
        _headline_column(TOOLKIT, "MME", "mme", ("MME", "test", "perception_total")),
        _headline_column(TOOLKIT, "MMBench", "mmbench", ("MMBench", "dev", "circular_accuracy")),
        _headline_column(TOOLKIT, "MM-Vet", "mmvet", ("MM-Vet", "v1", "gpt4_score")),
    ),
)


def headlines(tasks: Iterable[str]) -> Layout:
    """The headline of every task, in the order of their names: for tasks that no published table has, too."""
    columns = (
        Column(name, "", published=("", "", ""), measured=(name, ("headline", "value"))) for name in sorted(tasks)
    )
    return Layout("headlines", "Headline of every task", tuple(columns))
