"""Where pictures stand in a prompt, and what a question only quotes."""

import re
from dataclasses import dataclass

import pytest

from moe_eval.engine.backend import Request, Unanswered
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.generate import GenerateBackend, response
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prompting import render
from moe_eval.errors import UserError
from moe_eval.mini.world import make_scenes
from tests.tiny_llava import save_tiny_llava


@dataclass
class Plain:
    """A processor whose template shows what it gets."""

    image_token: str = "<image>"

    def apply_chat_template(self, messages, **options) -> str:
        parts = messages[0]["content"]
        return "|".join(self.image_token if part["type"] == "image" else part["text"] for part in parts)


def asked(text: str, **options) -> Request:
    return Request("1", (), text, 2, **options)


@pytest.mark.parametrize(
    ("text", "images", "prompt"),
    [
        ("Is it?", 1, "<image>|Is it?"),
        ("<image>\nIs it?", 1, "<image>\nIs it?"),
        ("Is it? <image>", 1, "Is it? <image>"),
        ("<image> or <image>?", 2, "<image> or <image>?"),
        ("What does the <image> tag do?", 1, "<image>|What does the < image> tag do?"),
        ("What does the <image> tag do?", 0, "What does the < image> tag do?"),
        ("<image> and <image>?", 1, "<image>|< image> and < image>?"),
    ],
)
def test_a_picture_token_is_a_place_or_a_quotation(text, images, prompt):
    assert render(Plain(), asked(text), images) == prompt


@dataclass
class Below(Plain):
    """A processor whose template has a place for the system's words, in one form."""

    takes: type = list

    def apply_chat_template(self, messages, **options) -> str:
        system = [turn["content"] for turn in messages if turn["role"] == "system"]
        if system and not isinstance(system[0], self.takes):
            raise TypeError("can only concatenate str")
        words = [content if isinstance(content, str) else content[0]["text"] for content in system]
        return "|".join([*words, super().apply_chat_template(messages[len(system) :])])


@pytest.mark.parametrize("takes", [list, str])
def test_the_systems_words_stand_before_the_question(takes):
    assert render(Below(takes=takes), asked("Is it?", system="Be brief."), 1) == "Be brief.|<image>|Is it?"


def test_a_template_without_a_place_for_the_systems_words_is_refused():
    class Deaf(Plain):
        def apply_chat_template(self, messages, **options) -> str:
            return super().apply_chat_template(messages[-1:])

    for processor, reason in ((Deaf(), "leaves it out"), (Below(takes=tuple), "refuses it")):
        with pytest.raises(UserError, match=f"--system: .*{reason}"):
            render(processor, asked("Is it?", system="Be brief."), 0)


def test_other_models_quote_their_own_token():
    assert render(Plain("<|image_pad|>"), asked("Why <|image_pad|>?"), 1) == "<|image_pad|>|Why < |image_pad|>?"


def test_questions_that_quote_the_token_are_answered(tmp_path, one_thread):
    backend = GenerateBackend(ModelSource(str(save_tiny_llava(tmp_path)), device="cpu"))
    scene = make_scenes(1, 1, "test")[0]
    texts = ["What does the <image> tag do?", "<image> <image>?"]
    requests = [Request(f"{text} {pictures}", (scene,) * pictures, text, 2) for text in texts for pictures in (0, 1)]
    assert len(list(backend.generate(requests))) == 4


class Words:
    """A tokenizer of which no token is special."""

    words = ("yes", " no", " STOP", " end", "<pad>")

    def decode(self, ids, skip_special_tokens=False) -> str:
        return "".join(self.words[token] for token in ids)


def test_what_ended_an_answer_is_no_part_of_it():
    ended = response("1", [0, 1, 3, 4, 4], stops={3}, tokenizer=Words())
    assert (ended.text, ended.tokens, ended.finish_reason) == ("yes no", 3, "stop")


def test_an_answer_is_cut_at_the_first_stop_string():
    ended = response("1", [0, 2, 1, 4], stops={3}, tokenizer=Words(), stop_strings=["no", "STOP"])
    assert (ended.text, ended.tokens, ended.finish_reason) == ("yes", 2, "stop")


def test_an_answer_that_nothing_ended_is_whole():
    ended = response("1", [0, 1], stops={3}, tokenizer=Words())
    assert (ended.text, ended.tokens, ended.finish_reason) == ("yes no", 2, "length")


@pytest.mark.parametrize("engine", ["generate", "prefix"])
@pytest.mark.parametrize("continuations", [(), ("Yes", "No")])
def test_a_prompt_longer_than_the_models_positions_is_told_and_the_others_are_answered(engine, continuations):
    backend, _ = choose_backend(ModelSource("moe-llava-nano", device="cpu"), engine)  # 1,024 positions
    requests = [
        Request(name, (), text, 4, continuations=continuations)
        for name, text in (("before", "Which?"), ("long", "is it red? " * 700), ("after", "What?"))
    ]
    answers = {answer.id: answer for answer in backend.generate(requests)}
    assert answers.keys() == {"before", "long", "after"}
    assert isinstance(answers["long"], Unanswered)
    assert answers["long"].failed
    assert re.fullmatch(r"its prompt has [\d,]+ tokens, and the model positions for 1,024", answers["long"].reason)
    assert not isinstance(answers["before"], Unanswered)
    assert not isinstance(answers["after"], Unanswered)
