"""Prompts are rendered as upstream's `Conversation` of style TWO renders them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from moellava.chat_template import SYSTEM_PROMPT, chat_template

ENDS = st.sampled_from(["<|endoftext|>", "<|end_of_turn|>", "</s>"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


def render(messages: list[dict], end: str = "</s>", add_generation_prompt: bool = True) -> str:
    rendered, _ = render_jinja_template(
        [messages], chat_template=chat_template(end), add_generation_prompt=add_generation_prompt
    )
    return rendered[0]


def chat(*turns: object) -> list[dict]:
    """Messages of a user and an assistant taking turns."""
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def style_two(turns: list[str], end: str) -> str:
    """System and blank; then role, colon, blank, text and the separator of the role; an empty last turn is a colon."""
    prompt = SYSTEM_PROMPT + " "
    for index, turn in enumerate(turns):
        prompt += f"ASSISTANT: {turn}{end}" if index % 2 else f"USER: {turn} "
    return prompt if len(turns) % 2 == 0 else prompt + "ASSISTANT:"


@given(st.lists(TEXTS, min_size=1, max_size=5), ENDS)
def test_turns_are_rendered_in_style_two(turns, end):
    assert render(chat(*turns), end, add_generation_prompt=len(turns) % 2 == 1) == style_two(turns, end)


def test_a_prompt_ends_without_a_blank():
    assert render(chat("Yes?")).endswith("USER: Yes? ASSISTANT:")


def test_nothing_separates_an_answer_from_the_next_turn():
    assert "ASSISTANT: No</s>USER: Why?" in render(chat("Yes?", "No", "Why?"))


def test_pictures_come_first_one_line_each():
    content = [
        {"type": "text", "text": "Which one"},
        {"type": "image"},
        {"type": "image"},
        {"type": "text", "text": "?"},
    ]
    assert "USER: <image>\n<image>\nWhich one? ASSISTANT:" in render(chat(content))


def test_an_image_token_in_a_text_stays_where_it_is():
    assert "USER: Look: <image>! ASSISTANT:" in render(chat("Look: <image>!"))


def test_an_answer_may_be_given_as_content_items():
    answer = [{"type": "text", "text": "A dog."}]
    assert render(chat("What?", answer), add_generation_prompt=False).endswith("USER: What? ASSISTANT: A dog.</s>")


@pytest.mark.parametrize("content", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_system_message_takes_the_place_of_the_usual_one(content):
    assert render([{"role": "system", "content": content}, *chat("Yes?")]) == "Be brief. USER: Yes? ASSISTANT:"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "tool", "content": "4"}, "role tool is not known"),
        ({"role": "user", "content": [{"type": "video"}]}, "content of type video is not known"),
    ],
)
def test_what_upstream_has_no_form_for_is_refused(message, reason):
    with pytest.raises(TemplateError, match=reason):
        render([message])
