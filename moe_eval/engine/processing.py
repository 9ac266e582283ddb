"""What decides an answer beside the weights: tokenizer, processor, chat template, generation configuration."""

import hashlib
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError

__all__ = ["check_template", "processing_fingerprint", "read_template"]

FILES = (
    *("tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template*", "additional_chat_templates/*", "processor_config.json", "preprocessor_config.json"),
    "generation_config.json",
    "*.py",  # code of the model's own, where it is run
)


def processing_fingerprint(folder: Path, template: str | None = None) -> str:
    """SHA-256 over names and contents of the files that decide how a model is asked and how it stops.

    Args:
        template: a chat template that is used instead of the folder's.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}):
        digest.update(path.relative_to(folder).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    if template is not None:
        digest.update(b"instead: " + template.encode())
    return f"sha256:{digest.hexdigest()}"


def read_template(path: Path) -> str:
    """A chat template from a file.

    Raises:
        UserError: for a file that is not there, is no UTF-8 text, or is empty.
    """
    try:
        template = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--chat-template {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error
    if not template.strip():
        raise UserError(f"--chat-template {path}: is empty; a Jinja template of messages is wanted")
    return template


def check_template(processor: Any, name: str) -> None:
    """A chat template must render a question, and show where the picture is.

    Args:
        name: whose template it is, for the message.

    Raises:
        UserError: for a template that is missing, fails, or leaves the picture out.
    """
    text = {"type": "text", "text": "What is this?"}
    try:
        with_picture, without = (
            processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            for content in ([{"type": "image"}, text], [text])
        )
    except Exception as error:  # a template is a program: whatever it raises
        if getattr(processor, "chat_template", None) is None:
            raise UserError(
                f"{name}: has no chat template, which says how it is asked; give one with --chat-template FILE"
            ) from error
        raise UserError(
            f"{name}: its chat template cannot render a question about a picture "
            f"({type(error).__name__}: {' '.join(str(error).split())}); give one with --chat-template FILE"
        ) from error
    if "{'type': " in without:
        raise UserError(
            f"{name}: its chat template writes the content of a message as it is; it must take a list of parts, as "
            "transformers gives it; give one with --chat-template FILE"
        )
    if with_picture == without:
        raise UserError(
            f"{name}: its chat template leaves the picture out: it must write the model's picture token where "
            'the content says {"type": "image"}; give one with --chat-template FILE'
        )
