"""How the parts of a task are named."""

import pytest

from moe_eval.task.definition import _split_source


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("mini", ("mini", "")),
        ("llava:/data/a@b:c", ("llava", "/data/a@b:c")),
        ("hub@abc", ("hub", "@abc")),
        ("hub:new@abc", ("hub", "new@abc")),
    ],
)
def test_sources_split_into_kind_and_argument(source, parts):
    assert _split_source(source) == parts
