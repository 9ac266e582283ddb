"""What a model thinks before it answers: asked for in its chat template, and kept apart from the answer."""

import re

__all__ = ["SWITCHES", "ends_in_thoughts", "ends_thoughts", "has_tags", "split_thoughts"]

SWITCHES = ("enable_thinking", "thinking")
"""Names of the variable by which chat templates switch thinking on and off: Qwen's, GLM's and Gemma's; Kimi's and Granite's."""

TAGS = (
    ("<think>", "</think>"),  # Qwen, GLM, Ernie, MiniCPM-V, …
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("[THINK]", "[/THINK]"),  # Mistral
    ("◁think▷", "◁/think▷"),  # Kimi
)
"""What thoughts stand between, by family."""


def ends_in_thoughts(prompt: str) -> bool:
    """Whether a prompt ends with the beginning of thoughts, which the answer then goes on with.

    >>> ends_in_thoughts("USER: Why? ASSISTANT: <think>\\n"), ends_in_thoughts("ASSISTANT: <think>\\n\\n</think>\\n\\n")
    (True, False)
    """
    return prompt.rstrip().endswith(tuple(begin for begin, _ in TAGS))


def ends_thoughts(text: str) -> bool:
    """Whether thoughts come to an end in a text."""
    return any(end in text for _, end in TAGS)


def has_tags(text: str) -> bool:
    """Whether anything in a text begins or ends thoughts."""
    return any(tag in text for pair in TAGS for tag in pair)


def split_thoughts(text: str, begun: bool = False) -> tuple[str | None, str]:
    """Thoughts, None if there are none, and the answer behind them, empty where the thoughts came to no end.

    Args:
        text: what a model generated.
        begun: whether the prompt ended in thoughts already.

    >>> split_thoughts("<think>Cats purr.</think> yes"), split_thoughts("Cats purr.</think> yes", begun=True)
    (('Cats purr.', 'yes'), ('Cats purr.', 'yes'))
    >>> split_thoughts("yes"), split_thoughts("<think>Hm"), split_thoughts("Hm", begun=True)
    ((None, 'yes'), ('Hm', ''), ('Hm', ''))
    """
    for begin, end in TAGS:
        opened = text.lstrip().startswith(begin)
        thoughts, found, answer = text.rpartition(end) if end in text else (text, "", "")
        if (found and (begun or opened)) or (opened and not found):
            return re.sub(rf"^\s*{re.escape(begin)}", "", thoughts).strip(), answer.strip()
    return (text.strip(), "") if begun else (None, text.strip())
