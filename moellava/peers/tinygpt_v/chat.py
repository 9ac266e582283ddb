"""How TinyGPT-V is asked: turns after `###`, a picture in `<Img>` tags that are plain text.

Source: TinyGPT-V `conversation.py` and its evaluation; spec/peer_models.md section 2.4.
"""

__all__ = ["IMAGE_TOKEN", "TEMPLATE"]

IMAGE_TOKEN = "<ImageHere>"

TEMPLATE = """\
{%- for message in messages -%}
  {%- set ns = namespace(content='') -%}
  {%- if message['content'] is string -%}
    {%- set ns.content = message['content'] -%}
  {%- else -%}
    {%- for item in message['content'] -%}
      {%- if item['type'] == 'image' -%}{%- set ns.content = ns.content + '<Img>%IMAGE%</Img> ' -%}
      {%- else -%}{%- set ns.content = ns.content + item['text'] -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}{{- '###Human: ' + ns.content + '###Assistant: ' -}}
  {%- elif message['role'] == 'assistant' -%}{{- ns.content -}}
  {%- else -%}{{- raise_exception('role ' + message['role'] + ' is not known; use user or assistant') -}}
  {%- endif -%}
{%- endfor -%}
""".replace("%IMAGE%", IMAGE_TOKEN)
"""Pictures stand where they are given; the answer is asked for after every user turn."""
