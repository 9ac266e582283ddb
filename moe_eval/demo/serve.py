"""The server of `moe-eval demo`, on this machine's own address only."""

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moe_eval.errors import UserError

if TYPE_CHECKING:
    from gradio import Blocks

    from moe_eval.demo.talker import Talker
    from moe_eval.engine.models import ModelSource

__all__ = ["ADDRESS", "launch", "serve"]

ADDRESS = "127.0.0.1"


def serve(models: Sequence["ModelSource"], port: int) -> None:
    """Load the models and show the page until Ctrl-C.

    Raises:
        UserError: without Gradio, for a model that is not there or does not fit, and when the port is in use.
    """
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"demo: {error.name} is not installed: pip install 'moe-llava-eval[demo]' (in a checkout: make setup EXTRAS=demo)"
        ) from error
    from moe_eval.demo.talker import Talker

    _check_port(port)  # before models are loaded, which may take minutes
    page = launch([Talker(model) for model in models], port)
    print(f"{page.local_url} answers with {' and '.join(model.title for model in models)}; Ctrl-C ends it", flush=True)
    page.block_thread()


def launch(talkers: "Sequence[Talker]", port: int) -> "Blocks":
    """The page, served by threads of its own.

    Raises:
        UserError: when the port is in use.
    """
    import gradio as gr

    from moe_eval.demo.drawing import STYLE
    from moe_eval.demo.page import make_page

    fonts = ["system-ui", "sans-serif"]  # none from elsewhere
    page = make_page(talkers)
    try:
        page.launch(
            server_name=ADDRESS,
            server_port=port,
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=STYLE,
            footer_links=[],
            ssr_mode=False,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise _not_to_be_had(port) from error
    return page


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise _not_to_be_had(port) from error


def _not_to_be_had(port: int) -> UserError:
    return UserError(f"--port {port}: cannot be had; take another one")
