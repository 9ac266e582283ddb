"""IDEFICS, InstructBLIP and BLIP-2, older than chat templates: their prompts, and processors that are called as newer ones.

A picture is `<image>` in the templates, which the processors then write in their own way.
Sources: the models' cards and transformers' documentation of them; spec/peer_models.md sections 3 and 4.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MODEL_TYPES", "called_as_newer_ones", "prompt_template", "set_up_generation"]

MODEL_TYPES = ("idefics", "instructblip", "blip-2")
PICTURE = "<image>"
AROUND_PICTURE = "<fake_token_around_image>"
END_OF_UTTERANCE = "<end_of_utterance>"
"""Ends a turn of the IDEFICS models that were tuned to instructions; the tokenizers of the others do not know it."""

_MACROS = """\
{%- macro words(content) -%}
  {%- if content is string -%}{{ content }}
  {%- else -%}{%- for item in content if item['type'] == 'text' -%}{{ item['text'] }}{%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- macro pictures(content) -%}
  {%- for item in content if item['type'] == 'image' -%}<image>{%- endfor -%}
{%- endmacro -%}
"""
_CONTINUED = """\
{%- for message in messages -%}
  {%- if message['role'] == 'user' -%}{{ pictures(message['content']) + '%BEFORE%' + words(message['content']) + '%AFTER%' }}
  {%- elif message['role'] == 'assistant' -%}{{ ' ' + words(message['content']) }}
  {%- endif -%}
{%- endfor -%}
"""
_INSTRUCTION = "{{ 'Instruction: Provide an answer to the question. Use the image to answer.\\n' }}"
_DIALOGUE = """\
{%- for message in messages if message['role'] != 'system' -%}
  {%- if message['role'] == 'user' -%}{{ 'User:' + pictures(message['content']) }}{%- else -%}{{ 'Assistant: ' }}{%- endif -%}
  {{ words(message['content']) + '<end_of_utterance>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}
"""


def _continued(before: str, after: str) -> str:
    return _CONTINUED.replace("%BEFORE%", before).replace("%AFTER%", after)


def prompt_template(folder: Path, model_type: str) -> str | None:
    """The chat template of a model folder that has none, by its architecture; None: it has one, or is none of these.

    InstructBLIP is asked the question alone, BLIP-2 and IDEFICS's base models are given a text to continue.
    """
    if model_type not in MODEL_TYPES or _has_template(folder):
        return None
    if model_type == "instructblip":
        return _MACROS + _continued("", "")
    if model_type == "blip-2":
        return _MACROS + _continued("Question: ", " Answer:")
    if any(END_OF_UTTERANCE in path.read_text(encoding="utf-8") for path in folder.glob("*token*.json")):
        return _MACROS + _DIALOGUE
    return _MACROS + _INSTRUCTION + _continued("Question: ", " Answer:")


def _has_template(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    return any(folder.glob("chat_template*")) or (
        settings.is_file() and '"chat_template"' in settings.read_text(encoding="utf-8")
    )


def called_as_newer_ones(processor: Any) -> Any:
    """A processor of these models that takes prompts with `<image>` in them, and a list of pictures for each.

    Pictures of InstructBLIP and BLIP-2 stand before the prompt, and there is exactly one: anything else is a ValueError.
    """
    processor.__class__ = _newer(type(processor))
    return processor


def _newer(processor_class: Any) -> Any:
    idefics = processor_class.__name__ == "IdeficsProcessor"
    arranged = _inside_prompts if idefics else _before_prompts

    def call(self: Any, images: "list[list[Image]] | None" = None, text: Any = (), **options: Any) -> Any:
        inputs = processor_class.__call__(self, **arranged(text, images or [[] for _ in text]), **options)
        if "qformer_input_ids" in inputs:
            _align_instructions(inputs, self.qformer_tokenizer.model_max_length)
        return inputs

    where_the_text_says = {"image_token": PICTURE} if idefics else {}
    return type(processor_class.__name__, (processor_class,), {"__call__": call, **where_the_text_says})


def _inside_prompts(prompts: list[str], pictures: "list[list[Image]]") -> dict[str, Any]:
    mixed = [_interleaved(prompt, own) for prompt, own in zip(prompts, pictures, strict=True)]
    return {"text": mixed, "add_end_of_utterance_token": False}  # the template has written it


def _before_prompts(prompts: list[str], pictures: "list[list[Image]]") -> dict[str, Any]:
    if any(len(own) != 1 for own in pictures):
        raise ValueError("the model answers questions about exactly one picture")
    texts = [prompt.removeprefix(PICTURE).replace(PICTURE, f"< {PICTURE[1:]}") for prompt in prompts]
    return {"text": texts, "images": [own[0] for own in pictures]}


def _align_instructions(inputs: Any, longest: int) -> None:
    """InstructBLIP's Q-Former counts positions from the first column, so that what it reads is padded on the right."""
    mask = inputs["qformer_attention_mask"]  # [batch, tokens]
    order = mask.argsort(dim=1, descending=True, stable=True)[:, :longest]
    for name in ("qformer_input_ids", "qformer_attention_mask"):
        inputs[name] = inputs[name].gather(1, order)


def _interleaved(prompt: str, pictures: "list[Image]") -> "list[str | Image]":
    """
    >>> _interleaved("User:<image><image>Which?", [1, 2])
    ['User:', 1, 2, 'Which?']
    """
    texts = prompt.replace(AROUND_PICTURE, "").split(PICTURE)  # the processor writes it
    if len(texts) != len(pictures) + 1:
        raise ValueError(f"the prompt has {len(texts) - 1} places for {len(pictures)} pictures")
    mixed: list[Any] = [part for text, picture in zip(texts, [*pictures, ""], strict=True) for part in (text, picture)]
    return [part for part in mixed if part != ""]


def set_up_generation(model: Any, tokenizer: Any) -> None:
    """What ends an answer of these models, and what must not occur in one, where their files do not say it."""
    if model.config.model_type != "idefics":
        model.generation_config = model.language_model.generation_config  # which is the one that `generate` follows
        return
    settings = model.generation_config
    known = tokenizer.get_vocab()
    settings.bad_words_ids = [[known[token]] for token in (PICTURE, AROUND_PICTURE)]
    if END_OF_UTTERANCE in known:
        settings.eos_token_id = [known[END_OF_UTTERANCE], tokenizer.eos_token_id]
