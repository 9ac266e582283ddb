"""The HTML: self-contained, and safe whatever the data say."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from moe_eval.report.build import build_report
from moe_eval.report.page import FOLDER, SCRIPTS
from moe_eval.report.runs import find_run_folders
from tests.moe_eval.report.conftest import NASTY
from tests.moe_eval.report.test_questions import unpack

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class Elements(HTMLParser):
    """All elements with their attributes, the text of script elements, and the text that is seen."""

    def __init__(self, page: bytes):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._script: str | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id") or "program" if tag == "script" else None

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        else:
            self.text += data


def page(folder, limit_images: int = 100) -> Elements:
    return Elements(build_report(find_run_folders([folder]), limit_images, 64, NOW).html)


def test_hostile_texts_add_no_element_and_are_shown_as_they_are(nasty_run):
    parsed = page(nasty_run)
    programs = [attributes for tag, attributes in parsed.elements if tag == "script" and "type" not in attributes]
    assert len(programs) == 1
    assert not [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert parsed.text.count(NASTY) >= 4  # model, title, data, headline
    assert json.loads(parsed.scripts["meta"])["sets"][0]["title"] == NASTY
    (row,) = unpack(parsed.scripts["rows-0-0"])
    assert (row["question"], row["answers"], row["gold"]) == (NASTY, [NASTY], NASTY)


def test_only_this_script_may_run_and_nothing_may_be_loaded(runs):
    parsed = page(runs)
    digest = base64.b64encode(hashlib.sha256(parsed.scripts["program"].encode()).digest()).decode()
    (policy,) = [a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_nothing_points_outside_the_file(runs):
    links = [a[name] for _, a in page(runs).elements for name in ("src", "href", "srcset", "action") if name in a]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)


def test_the_same_runs_give_the_same_file(runs):
    folders = find_run_folders([runs])
    assert build_report(folders, 10, 64, NOW).html == build_report(folders, 10, 64, NOW).html


def test_pictures_are_in_the_file_once_each(runs):
    parsed = page(runs)
    (row, *_) = unpack(parsed.scripts["rows-0-0"])
    thumbnails = json.loads(parsed.scripts["pictures-0"])
    assert len(thumbnails) == len(set(thumbnails)) > 1
    assert base64.b64decode(thumbnails[row["pictures"][0]])[8:12] == b"WEBP"


def test_pictures_that_are_left_out_are_mentioned(runs):
    assert "pictures are left out to keep this file small" in page(runs, limit_images=1).text


def test_headlines_have_their_intervals(runs):
    text = page(runs).text
    assert "66.67" in text
    assert "95 % interval" in text


def test_half_a_surrogate_pair_is_shown_escaped(runs):
    path = runs / "rambler" / "pope" / "responses.jsonl"
    lines = path.read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "response": "\ud800 no"})
    path.write_text("\n".join(lines) + "\n")
    rows = unpack(page(runs).scripts["rows-0-0"])
    assert any("\ud800 no" in row["answers"] for row in rows)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_never_make_html_of_text(name):
    source = (FOLDER / "script" / f"{name}.js").read_text()
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    assert not [way for way in ways if way in source]
