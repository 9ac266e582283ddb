"""Data inside the page: whole on the way out, and harmless on the way in."""

import base64
import gzip
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_eval.report.encoding import pack, script_json

TEXTS = st.text() | st.sampled_from(["</script>", "<!--", "<script>", "]]>", "\u2028", "&lt;", "\ud800"])
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=10
)


@settings(max_examples=50)
@given(VALUES)
def test_script_json_comes_back_and_holds_nothing_that_html_reads(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


@settings(max_examples=50)
@given(VALUES)
def test_packed_values_come_back(value):
    assert json.loads(gzip.decompress(base64.b64decode(pack(value)))) == value


def test_the_same_value_packs_to_the_same_text():
    assert pack({"a": [1, 2]}) == pack({"a": [1, 2]})
