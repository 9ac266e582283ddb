"""A question that does not count, asked of a model before any that does."""

from typing import Any

from moe_eval.engine.backend import Request
from moe_eval.engine.prompting import encode
from moe_eval.errors import UserError

__all__ = ["try_out"]


def try_out(model: Any, processor: Any, name: str) -> None:
    """Ask for one token about one picture. What goes wrong here lies in the model's folder: a processor that does not fit the
    model, a template that fails, a configuration with an odd value.

    Args:
        name: the model's, for the message.

    Raises:
        UserError: when no answer comes.
    """
    import torch
    from PIL import Image

    question = Request("trial", (), "Is there a picture?", max_new_tokens=1)
    try:
        inputs = encode(processor, [(question, [Image.new("RGB", (64, 48), "gray")])])
        with torch.no_grad():
            model.generate(
                **inputs.to(model.device, dtype=model.dtype), max_new_tokens=1, do_sample=False, num_beams=1,
                num_return_sequences=1, tokenizer=processor.tokenizer, pad_token_id=0,
            )  # fmt: skip
    except torch.OutOfMemoryError as error:
        raise UserError(f"model {name}: {model.device} has too little memory for it and one question") from error
    except UserError as error:
        raise UserError(f"model {name}: {error}") from error
    except Exception as error:  # whatever transformers meets in somebody's files
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"model {name}: cannot answer a question about a picture ({type(error).__name__}: {reason}); do its processor, "
            "tokenizer, template and config.json belong together?"
        ) from error
