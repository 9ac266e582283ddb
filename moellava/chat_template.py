"""The conversation format of all published models, as a Jinja chat template saved with the tokenizer.

Source: MoE-LLaVA `conversation.py` (style TWO); spec/checkpoints.md section 3.
"""

__all__ = ["SYSTEM_PROMPT", "chat_template"]

SYSTEM_PROMPT = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

# A user turn ends with a blank, an assistant turn with the end marker and nothing after it. Pictures given as content
# items come first, one line each, as upstream's evaluation puts them; `<image>` inside a text stays where it is.
_TEMPLATE = """\
{%- set system = %SYSTEM% -%}
{%- set turns = messages -%}
{%- if messages[0]['role'] == 'system' -%}
  {%- set system = messages[0]['content'] if messages[0]['content'] is string else messages[0]['content'][0]['text'] -%}
  {%- set turns = messages[1:] -%}
{%- endif -%}
{{- system + ' ' -}}
{%- for message in turns -%}
  {%- set ns = namespace(images='', text='') -%}
  {%- if message['content'] is string -%}
    {%- set ns.text = message['content'] -%}
  {%- else -%}
    {%- for item in message['content'] -%}
      {%- if item['type'] == 'image' -%}{%- set ns.images = ns.images + '<image>\\n' -%}
      {%- elif item['type'] == 'text' -%}{%- set ns.text = ns.text + item['text'] -%}
      {%- else -%}{{- raise_exception('content of type ' + item['type'] + ' is not known; use image or text') -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}{{- 'USER: ' + ns.images + ns.text + ' ' -}}
  {%- elif message['role'] == 'assistant' -%}{{- 'ASSISTANT: ' + ns.text + %END% -}}
  {%- else -%}{{- raise_exception('role ' + message['role'] + ' is not known; use system, user or assistant') -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}
"""


def chat_template(end: str) -> str:
    """Jinja source of the template whose assistant turns end with `end` (the stop string of the backbone)."""
    return _TEMPLATE.replace("%SYSTEM%", repr(SYSTEM_PROMPT)).replace("%END%", repr(end))
