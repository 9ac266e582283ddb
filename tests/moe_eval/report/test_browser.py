"""The report in a real browser: what a reader does with mouse and keyboard, and what a screen reader hears."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK as POPE

from bench.browser import CHROMIUM, Browser, open_browser
from moe_eval.report.build import build_report
from moe_eval.report.runs import find_run_folders
from moe_eval.runs.plan import run_folder
from tests.asking import run_task
from tests.moe_eval.report.conftest import NASTY, QUESTIONS, answer_pope
from tests.moe_eval.runs.test_routing import RoutedBackend

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    answer_pope(out / "runs", "yes-sayer", lambda request: "Yes")
    answer_pope(out / "runs", "rambler", lambda request: "I think so. No doubt." if int(request.id) % 3 == 0 else "No")
    path = out / "report.html"
    path.write_bytes(build_report(find_run_folders([out / "runs"]), 100, 160).html)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Iterator[Browser]:
    """The report, freshly opened; afterwards nothing was complained about, and nothing was loaded from elsewhere."""
    chromium.complaints.clear()
    chromium.requests.clear()
    chromium.open(page)
    yield chromium
    assert chromium.complaints == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "data:", "about:"))] == []


COUNT = "document.getElementById('count').textContent"
SELECTED = "document.querySelector('.option[aria-selected=true]')?.dataset.position"
FOCUSED = "document.activeElement.id"


def shown_sample(browser: Browser) -> str:
    return browser.evaluate("document.getElementById('detail').getAttribute('aria-label')")


def choose(browser: Browser, field: str, value: str) -> None:
    browser.evaluate(
        f"(() => {{ const f = document.getElementById('{field}'); f.value = '{value}'; "
        "f.dispatchEvent(new Event('input')); })()"
    )


# --- tables ---------------------------------------------------------------------------------------------------


def column(browser: Browser, number: int) -> list[str]:
    return browser.evaluate(
        f"[...document.querySelectorAll('#models tbody tr')].map(r => r.cells[{number}].textContent)"
    )


def test_a_table_sorts_by_click_and_by_key(browser):
    before = column(browser, 0)
    browser.click("#models thead th:first-child button")
    assert column(browser, 0) == sorted(before)
    assert browser.evaluate("document.querySelector('#models thead th').getAttribute('aria-sort')") == "ascending"
    browser.press("Enter")  # the button has the focus
    assert column(browser, 0) == sorted(before, reverse=True)
    browser.press("Enter")
    assert column(browser, 0) == before


def test_numbers_sort_as_numbers_and_missing_ones_last(browser):
    grid = "document.getElementById('grid-1')"
    heading = browser.evaluate(f"[...{grid}.tHead.rows[1].cells].findIndex(c => c.textContent === 'Act.')")
    browser.evaluate(f"{grid}.tHead.rows[1].cells[{heading}].querySelector('button').click()")
    values = browser.evaluate(
        f"[...{grid}.tBodies].at(-1).querySelectorAll('tr:not(.block)').values().map("
        f"r => r.cells[{heading}].dataset.value ?? null).toArray()"
    )
    numbers = [float(value) for value in values if value is not None]
    assert len(numbers) > 5
    assert numbers == sorted(numbers, reverse=True)
    assert None not in values[: len(numbers)]


def test_published_rows_can_be_hidden(browser):
    seen = "[...document.querySelectorAll('#grid-1 tr.published')].filter(r => r.offsetParent).length"
    assert browser.evaluate(seen) > 5
    browser.click("input.published")
    assert browser.evaluate(seen) == 0


# --- scores and figures ---------------------------------------------------------------------------------------


def test_the_first_numbers_are_seen_at_once(browser, page):
    """On a phone, too, and without moving the table."""
    for width, height in ((1280, 800), (390, 844)):
        browser.open(page, width, height)
        box = browser.evaluate(
            "(({top, bottom, left, right}) => [top, bottom, left, right])"
            "(document.querySelector('#matrix .score').getBoundingClientRect())"
        )
        assert box[0] > 48
        assert box[1] < height / 2
        assert box[2] > 0
        assert box[3] < width


def test_one_figure_of_many_is_shown_and_another_can_be_chosen(chromium, tmp_path):
    out = tmp_path / "runs"
    data = POPE.load("mini").first(36)
    run_task(POPE, "llava", data, RoutedBackend(), run_folder(out, "sparse", "pope"), routing=True)
    path = tmp_path / "report.html"
    path.write_bytes(build_report(find_run_folders([out]), 10, 64).html)
    chromium.open(path)
    shown = "[...document.querySelectorAll('.chosen .paper:not([hidden]) img')].map(e => e.alt)"
    (first,) = chromium.evaluate(shown)
    assert first.startswith("Expert load: ")
    choose(chromium, "figure-choice", "2")
    (other,) = chromium.evaluate(shown)
    assert other.startswith("Activated pathways: ")
    choices = chromium.evaluate("[...document.querySelectorAll('#figure-choice optgroup')].map(e => e.label)")
    assert choices == [
        "Expert load",
        "Modalities per expert",
        "Activated pathways",
        "Overlap and balance of experts",
        "Specialisation of experts",
    ]
    experts = chromium.wait("[...document.querySelectorAll('.experts td')].map(e => Number(e.textContent))")
    assert min(experts) == 0  # as `--ablate` counts them


def test_figures_follow_the_colours_of_the_page(browser):
    style = "getComputedStyle(document.querySelector('.paper img')).filter"
    assert browser.evaluate(style) == "none"
    browser.click("#theme")
    assert browser.evaluate(style).startswith("invert(")
    browser.click("#theme")
    browser.prefer("dark")
    browser.evaluate("delete document.documentElement.dataset.theme")
    assert browser.evaluate(style).startswith("invert(")
    browser.prefer("light")


# --- samples --------------------------------------------------------------------------------------------------


def test_filters_narrow_the_list_down(browser):
    assert browser.evaluate(COUNT) == f"{QUESTIONS} samples"
    choose(browser, "filter-run", "yes-sayer")
    choose(browser, "filter-outcome", "wrong")
    browser.wait(f"{COUNT} === '18 of {QUESTIONS} samples'")
    golds = browser.evaluate("[...document.querySelectorAll('.option .below')].map(e => e.textContent)")
    assert golds
    assert all("gold: no" in gold for gold in golds)
    browser.click("#filter-reset")
    browser.wait(f"{COUNT} === '{QUESTIONS} samples'")


def test_disagreement_between_runs_and_between_protocols(browser):
    browser.click("#filter-runs")
    browser.wait(f"{COUNT}.includes(' of ')")
    marks = browser.evaluate(
        "[...document.querySelectorAll('.option')].map(o => [...o.querySelectorAll('.mark')].map(m => m.textContent))"
    )
    assert marks
    assert all(len({text[-1] for text in pair}) == 2 for pair in marks)
    assert {tuple(text[0] for text in pair) for pair in marks} == {("A", "B")}
    runs = browser.evaluate("[...document.querySelectorAll('.who-is-who > span')].map(e => e.textContent)")
    assert runs == ["A rambler", "B yes-sayer"]
    browser.click("#filter-runs")
    browser.wait(f"{COUNT} === '{QUESTIONS} samples'")
    browser.click("#filter-protocols")
    browser.wait(f"{COUNT}.includes(' of ')")
    scores = browser.evaluate("document.querySelector('#detail .answers').textContent")
    assert "llava 1 · lmms-eval 0" in scores or "llava 0 · lmms-eval 1" in scores


def test_search_finds_answers_and_says_when_there_is_nothing(browser):
    browser.press("/")
    assert browser.evaluate(FOCUSED) == "filter-text"
    browser.type("no doubt")
    browser.wait(f"{COUNT} === '12 of {QUESTIONS} samples'")
    browser.type(" nonsense")
    browser.wait("document.querySelector('#list .none')?.textContent === 'No sample passes these filters.'")
    browser.press("Escape")
    browser.wait(f"{COUNT} === '{QUESTIONS} samples'")


def test_the_keyboard_alone_is_enough(browser):
    first = shown_sample(browser)
    browser.press("j")
    browser.press("j")
    browser.press("k")
    browser.wait(f"{SELECTED} === '1'")
    browser.wait(f"document.getElementById('detail').getAttribute('aria-label') !== {first!r}")
    browser.evaluate("document.getElementById('list').focus()")
    browser.press("ArrowDown")
    browser.press("Enter")
    assert browser.evaluate(FOCUSED) == "detail"
    browser.press("Escape")
    assert browser.evaluate(FOCUSED) == "list"
    browser.press("End")
    browser.wait(f"{SELECTED} === '{QUESTIONS - 1}'")
    active = browser.evaluate("document.getElementById('list').getAttribute('aria-activedescendant')")
    assert active == f"option-{QUESTIONS - 1}"
    browser.press("?")
    assert browser.evaluate("document.getElementById('help').open")


def test_single_letters_can_be_switched_off(browser):
    browser.evaluate("document.getElementById('keys-on').checked = false")
    browser.press("j")
    assert browser.evaluate(SELECTED) == "0"


def test_a_sample_shows_picture_prompt_gold_and_all_answers(browser):
    browser.click(".option:nth-child(3)")
    browser.wait("document.getElementById('detail').textContent.includes('3 of 36')")
    text = browser.evaluate("document.getElementById('detail').textContent")
    for part in (
        "gold",
        "Answer the question using a single word or phrase.",
        "rambler",
        "I think so. No doubt.",
        "yes-sayer",
    ):
        assert part in text
    assert browser.wait("document.querySelector('#detail img').naturalWidth") == 160


def test_an_address_leads_back_to_the_same_view(browser, page):
    choose(browser, "filter-outcome", "wrong")
    browser.wait(f"{COUNT}.includes(' of ')")
    browser.press("j")
    browser.wait(f"{SELECTED} === '1'")
    fragment, sample = browser.evaluate("location.hash"), shown_sample(browser)
    browser.open(page, fragment=fragment)
    browser.wait(f"document.getElementById('detail').getAttribute('aria-label') === {sample!r}")
    assert browser.evaluate("document.getElementById('filter-outcome').value") == "wrong"


def test_on_a_phone_the_sample_takes_the_place_of_the_list(browser, page):
    browser.open(page, 390, 800)
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    # not at coordinates: on a loaded machine the narrow page may still be moving
    browser.evaluate("document.querySelector('.option').click()")
    browser.wait("!document.getElementById('list').offsetParent")
    browser.click(".steps .back")
    browser.wait("!!document.getElementById('list').offsetParent")


def test_hostile_texts_do_nothing(browser, nasty_run, tmp_path):
    path = tmp_path / "nasty.html"
    path.write_bytes(build_report([nasty_run], 10, 160).html)
    browser.open(path)
    browser.wait("!!document.querySelector('#detail .answer')")
    assert browser.evaluate("window.injected") is None
    assert browser.evaluate("document.querySelector('#detail .answer pre').textContent") == NASTY
    assert browser.evaluate("document.querySelector('#detail h3').textContent") == NASTY
    assert NASTY in browser.evaluate("document.querySelector('.strips th[scope=row]').textContent")


# --- everybody ------------------------------------------------------------------------------------------------


def test_everything_that_can_be_used_has_a_name(browser):
    seen = browser.accessible()
    usable = {
        "button",
        "link",
        "checkbox",
        "combobox",
        "searchbox",
        "listbox",
        "option",
        "region",
        "figure",
        "navigation",
    }
    assert {role for role, _ in seen} >= {"button", "link", "checkbox", "combobox", "searchbox", "listbox", "option"}
    assert [role for role, name in seen if role in usable - {"figure"} and not name.strip()] == []
    assert ("listbox", "Samples") in seen
    assert ("searchbox", "Search") in seen
    assert next(name for role, name in seen if role == "heading") == "Evaluation report"


CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const weak = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, option, :disabled")) continue;
    texts += 1;
    const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${element.className}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return { texts, weak: [...new Set(weak)] };
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser, scheme):
    browser.prefer(scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = browser.evaluate(CONTRAST)
    browser.prefer("light")
    assert found["texts"] > 300
    assert found["weak"] == []


def test_the_theme_button_changes_the_colours_and_says_so(browser):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = browser.evaluate(ground)
    browser.click("#theme")
    assert browser.evaluate(ground) != before
    assert browser.evaluate("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    browser.click("#theme")
    assert browser.evaluate(ground) == before


def test_on_paper_there_are_no_controls(browser):
    browser.call("Emulation.setEmulatedMedia", media="print")
    seen = browser.evaluate("['.top', '.filters', '#list'].filter(s => document.querySelector(s).checkVisibility())")
    detail = browser.evaluate("document.getElementById('detail').checkVisibility()")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert (seen, detail) == ([], True)
