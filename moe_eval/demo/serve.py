"""The server of `moe-eval demo`, on this machine's own address only."""

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
        raise UserError(f"--port {port}: cannot be had; take another one") from error
    return page
