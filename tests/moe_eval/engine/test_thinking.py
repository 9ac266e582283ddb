"""Thoughts are asked for in a template's own words, kept apart from answers, and never spend an answer's budget unasked."""

from dataclasses import dataclass, field

import pytest

from moe_eval.chat.thoughts import split_thoughts
from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend, response
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.engine.prompting import render, thinks_on
from moe_eval.errors import UserError
from moe_eval.runs.plan import THOUGHT_TOKENS, make_plans
from tests.tiny_llava import save_tiny_llava

SWITCHED = "{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"


@dataclass
class Switched:
    """A processor that shows what its template is told."""

    chat_template: str = SWITCHED
    told: list[dict] = field(default_factory=list)

    def apply_chat_template(self, messages, **options) -> str:
        self.told.append(options)
        words = "".join(part["text"] for turn in messages for part in turn["content"])
        if "<think>" not in self.chat_template:
            return words
        return words + ("<think>\n" if options.get("enable_thinking", True) else "<think>\n\n</think>\n\n")


def request(**options) -> Request:
    return Request("1", (), "Why?", 16, **options)


@pytest.mark.parametrize(("thinking", "told"), [(None, False), (False, False), (True, True)])
def test_a_template_is_told_whether_to_think(thinking, told):
    processor = Switched()
    assert render(processor, request(thinking=thinking), 0).startswith("Why?")
    assert processor.told[0]["enable_thinking"] is told
    assert thinks_on(processor, request(thinking=thinking)) is told


def test_a_template_without_a_switch_is_told_nothing():
    processor = Switched("{{ messages }}")
    render(processor, request(), 0)
    assert not {"enable_thinking", "thinking"} & processor.told[0].keys()


def test_a_model_that_cannot_think_is_not_asked_to():
    with pytest.raises(UserError, match=r"--thinking: .* leave it out"):
        render(Switched("{{ messages }}"), request(thinking=True), 0)


def test_a_model_that_always_thinks_is_not_given_a_short_answers_budget():
    always = Switched("<think>")
    with pytest.raises(UserError, match="say --thinking"):
        render(always, request(), 0)
    assert thinks_on(always, request(thinking=True))


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<|channel>thought\nIt is a cat.<channel|>yes", "It is a cat.", "yes"),
        ("[THINK]A cat.[/THINK]yes", "A cat.", "yes"),
        ("<think>Cats purr.</think> yes", "Cats purr.", "yes"),
        ("<think>It never ends", "It never ends", ""),
        (" yes ", None, "yes"),
        ("The tag </think> closes", None, "The tag </think> closes"),
    ],
)
def test_each_familys_thoughts_are_known(text, thoughts, answer):
    assert split_thoughts(text) == (thoughts, answer)


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [("Cats purr.</think> yes", "Cats purr.", "yes"), ("Cats purr.", "Cats purr.", "")],
)
def test_an_answer_may_go_on_with_thoughts_that_the_prompt_begins(text, thoughts, answer):
    assert split_thoughts(text, begun=True) == (thoughts, answer)


class Tokens:
    """A tokenizer whose tags are special tokens."""

    words = ("<|channel>thought", "A cat.", "<channel|>", "yes", "<end>")
    all_special_tokens = ("<|channel>thought", "<channel|>", "<end>")

    def decode(self, ids, skip_special_tokens=False) -> str:
        words = (self.words[token] for token in ids)
        return "".join(word for word in words if not (skip_special_tokens and word in self.all_special_tokens))


def test_tags_that_are_special_tokens_are_found():
    answer = response("1", [0, 1, 2, 3, 4], {4}, Tokens())
    assert (answer.text, answer.reasoning, answer.tokens) == ("yes", "A cat.", 5)


def test_thoughts_without_an_end_are_no_answer():
    answer = response("1", [1, 1], {4}, Tokens(), begun=True)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("", "A cat.A cat.", "length")


def test_thinking_makes_the_limit_larger_unless_one_is_given():
    (plain,), (thinking,), (limited,) = (
        make_plans("m", ["pope"], True, **settings)
        for settings in ({}, {"thinking": True}, {"thinking": True, "max_new_tokens": 7})
    )
    assert thinking.answer_limit == plain.answer_limit + THOUGHT_TOKENS
    assert limited.answer_limit == 7
    assert thinking.folder != plain.folder


def test_given_answers_are_measured_without_thoughts():
    with pytest.raises(UserError, match="--thinking"):
        make_plans("m", ["pope"], True, protocol="likelihood", thinking=True)


def test_engines_agree_on_what_is_thought_below_a_systems_words(tmp_path, one_thread):
    folder = save_tiny_llava(tmp_path)
    template = tmp_path / "thinks.jinja"
    own = (folder / "chat_template.jinja").read_text()
    template.write_text(own + "{% if enable_thinking %}<think>{% endif %}")
    source = ModelSource(str(folder), device="cpu", chat_template=template)
    asked = [Request(str(n), (), f"Why {n}?", 4, system="Be brief.", thinking=True) for n in range(3)]
    found = [{one.id: one for one in engine(source).generate(asked)} for engine in (GenerateBackend, PrefixBackend)]
    assert found[0] == found[1]
    assert [(answer.text, bool(answer.reasoning)) for answer in found[0].values()] == [("", True)] * 3
