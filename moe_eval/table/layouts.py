"""The kinds of tables there are."""

from moe_eval.errors import unknown
from moe_eval.table.rows import Column, Layout

__all__ = ["LAYOUTS", "find_layout"]

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

LAYOUTS = {layout.name: layout for layout in (POPE,)}


def find_layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        UserError: naming the ones that exist.
    """
    if name not in LAYOUTS:
        raise unknown("layout", name, LAYOUTS)
    return LAYOUTS[name]
