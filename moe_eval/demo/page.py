"""The page of `moe-eval demo`, in Gradio: one conversation per model about the same picture."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from moe_eval.demo.drawing import draw_way
from moe_eval.demo.talker import Expert, Talker, Turn
from moe_eval.errors import UserError
from moe_eval.registry import find_task

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["make_page"]

EXAMPLES = {"pope": 0, "mme": 4, "textvqa": 0, "vqav2": 2}
"""Questions of `mini` to begin with: which, by task."""

UNCHANGED = (gr.skip(), gr.skip(), gr.skip())
"""Of conversation, chat and drawing."""


def make_page(talkers: Sequence[Talker]) -> gr.Blocks:
    """One column per model; what is asked goes to all of them."""
    examples = _examples()
    with gr.Blocks(title="moe-eval demo", analytics_enabled=False, fill_width=True) as page:
        with gr.Row():
            picture = gr.Image(examples[0][0], type="pil", label="Picture", height=260, elem_id="picture", scale=1)
            with gr.Column(scale=2):
                question = gr.Textbox(examples[0][1], label="Question", lines=2, elem_id="question")
                with gr.Row():
                    ask = gr.Button("Ask", variant="primary", elem_id="ask")
                    anew = gr.Button("New conversation", elem_id="anew")
                with gr.Accordion("Questions about the drawn world", open=False):
                    gr.Examples(examples, [picture, question], label="")
        with gr.Row():
            for number, talker in enumerate(talkers):
                with gr.Column():
                    _conversation(number, talker, picture, question, ask, anew, beside=len(talkers) == 1)
    return page


def _conversation(
    number: int, talker: Talker, picture: gr.Image, question: gr.Textbox, ask: gr.Button, anew: gr.Button, beside: bool
) -> None:
    """What was said to a model, the experts that are switched off, and beside or below it the ways of the tokens."""
    turns = gr.State([])
    with gr.Row() if beside else gr.Column():
        with gr.Column():
            gr.Markdown(f"### {talker.name}")
            chat, off = _controls(number, talker)
        way = gr.HTML(elem_id=f"way-{number}", padding=False)

    def asked(picture: Any, turns: list[Turn], question: str, off: list[str]) -> Iterator[tuple]:
        if question.strip():
            yield from _answer(talker, picture, turns, question, off)
        else:
            yield UNCHANGED  # a generator without a value would clear what is shown

    def again(picture: Any, turns: list[Turn], off: list[str]) -> Iterator[tuple]:
        if turns:
            yield from _answer(
                talker, picture, turns[:-1], turns[-1].question, off, f"\n\n*before: {turns[-1].answer}*"
            )
        else:
            yield UNCHANGED

    gr.on(
        [ask.click, question.submit],
        asked,
        [picture, turns, question, off],
        [turns, chat, way],
        show_progress="minimal",
    )
    off.change(again, [picture, turns, off], [turns, chat, way], show_progress="minimal")
    gr.on([anew.click, picture.change], lambda: ([], [], ""), None, [turns, chat, way])


def _controls(number: int, talker: Talker) -> tuple[gr.Chatbot, gr.Dropdown]:
    chat = gr.Chatbot(show_label=False, height=240, buttons=[], elem_id=f"chat-{number}")
    off = gr.Dropdown(
        [(f"layer {layer}, expert {expert}", f"{layer}:{expert}") for layer, expert in talker.experts],
        multiselect=True,
        label="Experts that are switched off (the last question is asked again)",
        visible=talker.is_sparse,
        elem_id=f"off-{number}",
    )
    return chat, off


def _answer(
    talker: Talker, picture: "Image | None", before: list[Turn], question: str, off: Sequence[str], remark: str = ""
) -> Iterator[tuple[list[Turn], list[dict[str, str]], Any]]:
    """State, chat and drawing, again and again while the answer grows.

    Args:
        remark: what the chat shows below the answer.

    Raises:
        gr.Error: which the page shows, with what is wrong in one line.
    """
    try:
        for text, way in talker.answer(picture, before, question, [_expert(one) for one in off or ()]):
            turns = [*before, Turn(question, text)]
            yield turns, _messages(turns, remark), gr.skip() if way is None else draw_way(way, picture)
        if not talker.is_sparse:
            yield turns, _messages(turns, remark), draw_way(None, picture)
    except UserError as error:
        raise gr.Error(str(error)) from error


def _expert(name: str) -> Expert:
    layer, _, expert = name.partition(":")
    return int(layer), int(expert)


def _messages(turns: Sequence[Turn], remark: str = "") -> list[dict[str, str]]:
    said = [(turn.question, turn.answer) for turn in turns]
    if said:
        said[-1] = (said[-1][0], said[-1][1] + remark)
    return [
        {"role": role, "content": text} for pair in said for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _examples() -> list[list[Any]]:
    """[picture, question] as the protocols of the tasks ask them."""
    found = []
    for name, number in EXAMPLES.items():
        task = find_task(name)
        sample = task.load("mini").samples[number]
        found.append([sample.images[0].open(), task.protocol("llava").prompt(sample)])
    return found
