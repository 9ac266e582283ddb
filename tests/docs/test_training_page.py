"""The table of docs/training.md is that of the committed ablations."""

from pathlib import Path

from bench.nano_ablations import SEEDS, VARIANTS, AblationsRecord, as_markdown
from moe_eval.runs.records import read_record

ROOT = Path(__file__).parents[2]
RECORD = read_record(AblationsRecord, ROOT / "results" / "ablations" / "nano" / "ablations.json")


def test_the_page_has_the_table_that_was_measured():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for line in as_markdown(RECORD).splitlines():
        assert line in page, line


def test_every_variant_was_trained_with_every_seed():
    assert [variant.name for variant in RECORD.variants] == [variant.name for variant in VARIANTS]
    assert tuple(RECORD.seeds) == SEEDS
    assert {len(score.values) for variant in RECORD.variants for score in variant.scores.values()} == {len(SEEDS)}
