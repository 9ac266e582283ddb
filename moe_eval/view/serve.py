"""The server of `moe-eval view`, on this machine's own address only."""

import socket
from pathlib import Path

from moe_eval.errors import UserError

__all__ = ["listen", "serve"]

ADDRESS = "127.0.0.1"


def serve(root: Path, port: int) -> None:
    """Follow the runs in a folder, and show them, until Ctrl-C.

    Args:
        port: 0: any that is free.

    Raises:
        UserError: without the packages that serve pages, when there is no such folder, and when the port is in use.
    """
    try:
        import uvicorn

        from moe_eval.view.app import make_app
    except ImportError as error:
        raise UserError(
            f"view: {error.name} is not installed, which serves the page: pip install 'moe-llava-eval[view]'"
        ) from error
    from moe_eval.view.watch import Watch

    watch = Watch(root)
    with listen(port) as listener, watch:
        app = make_app(watch, stopping=lambda: server.should_exit)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        print(f"http://{ADDRESS}:{listener.getsockname()[1]}/ follows the runs in {root}; Ctrl-C ends it", flush=True)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has ended in order, and then passes it on
            return


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address.

    Raises:
        UserError: when the port is in use.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"--port {port}: cannot be had ({error.strerror}); is another `moe-eval view` running? "
            "Take another port, or --port 0 for any that is free"
        ) from error
    return listener
