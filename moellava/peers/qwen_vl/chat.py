"""How Qwen-VL is asked: the base model continues a text, Qwen-VL-Chat reads ChatML.

Source: Qwen-VL `qwen_generation_utils.py` `make_context`, `tokenization_qwen.py` `from_list_format`; spec/peer_models.md 1.7.
"""

__all__ = ["ESCAPE", "IMAGE_TOKEN", "SYSTEM_PROMPT", "TEMPLATES"]

IMAGE_TOKEN = "<imgpad>"
SYSTEM_PROMPT = "You are a helpful assistant."
ESCAPE = "\ue000"
"""A character of no script that the tokenizer drops: after `<` it keeps `<|im_end|>` in a user's text from ending the turn."""

_PICTURE = f"<img>{IMAGE_TOKEN}</img>"

# Text and pictures in the order in which they are given; an answer follows its question after a blank, as in the authors'
# examples of few-shot prompts.
_RAW = """\
{%- for message in messages -%}
  {%- if message['role'] == 'assistant' -%}{{- ' ' -}}{%- endif -%}
  {%- if message['content'] is string -%}{{- message['content'] -}}
  {%- else -%}
    {%- for item in message['content'] -%}
      {%- if item['type'] == 'image' -%}{{- '%PICTURE%' -}}
      {%- else -%}{{- item['text'] -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endfor -%}
"""

# The pictures of a turn are numbered from 1, one per line.
_CHATML = """\
{%- if not messages or messages[0]['role'] != 'system' -%}
  {{- '<|im_start|>system\\n%SYSTEM%<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
  {%- set ns = namespace(content='', pictures=0) -%}
  {%- if message['content'] is string -%}
    {%- set ns.content = message['content'] -%}
  {%- else -%}
    {%- for item in message['content'] -%}
      {%- if item['type'] == 'image' -%}
        {%- set ns.pictures = ns.pictures + 1 -%}
        {%- set ns.content = ns.content + 'Picture ' + ns.pictures|string + ': %PICTURE%\\n' -%}
      {%- else -%}{%- set ns.content = ns.content + item['text'] -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|im_start|>' + message['role'] + '\\n' + ns.content.replace('<|', '<%ESCAPE%|') + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def _filled(template: str) -> str:
    return template.replace("%PICTURE%", _PICTURE).replace("%SYSTEM%", SYSTEM_PROMPT).replace("%ESCAPE%", ESCAPE)


TEMPLATES = {"raw": _filled(_RAW), "chatml": _filled(_CHATML)}
"""Chat template by `chat_format` of the published `generation_config.json`."""
