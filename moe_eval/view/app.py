"""The pages of `moe-eval view`: everything is read from memory or from folders that are watched, and only by GET.

A page of somebody else in the same browser can neither read this one (nothing allows other origins) nor reach it under
a name of its own (`Host` must be this machine's: DNS rebinding). No path comes from a request: runs and questions are
looked up by name among those that there are.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from threading import Lock

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.report.build import build_report
from moe_eval.report.page import FOLDER as REPORT
from moe_eval.report.page import join_scripts
from moe_eval.report.pictures import shrink
from moe_eval.view.followed import FollowedRun
from moe_eval.view.watch import Watch

__all__ = ["make_app"]

PAGE = Path(__file__).parent / "page"
HOSTS = ["127.0.0.1", "localhost"]
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
SECONDS = 0.25
"""Between two looks for what a page has not been told yet."""
SILENCE = 10.0
"""Seconds after which a page is told that nothing has happened, so that a dead connection is noticed."""
PICTURE, REPORT_PICTURE, REPORT_PICTURES = 320, 160, 1000
"""Longest side in pixels, here and in the report, and how many pictures per set of questions the report takes in."""


def make_app(watch: Watch, stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """The pages about what is watched.

    Args:
        stopping: whether the server is about to end, so that streams do not keep it.
    """
    script = join_scripts(
        [*(REPORT / "script" / f"{name}.js" for name in ("format", "dom", "theme")), PAGE / "view.js"]
    )
    style = (REPORT / "templates" / "report.css").read_text(encoding="utf-8") + (PAGE / "view.css").read_text("utf-8")
    report_lock = Lock()  # Matplotlib's figures are made by one thread at a time

    async def page(request: Request) -> Response:
        return HTMLResponse((PAGE / "view.html").read_bytes(), headers=SECURITY)

    async def script_file(request: Request) -> Response:
        return Response(script, media_type="text/javascript", headers=SECURITY)

    async def style_file(request: Request) -> Response:
        return Response(style, media_type="text/css", headers=SECURITY)

    async def events(request: Request) -> Response:
        headers = {**SECURITY, "Cache-Control": "no-store"}
        return StreamingResponse(follow(watch, stopping), media_type="text/event-stream", headers=headers)

    async def picture(request: Request) -> Response:
        return await run_in_threadpool(_picture, watch, request)

    async def report(request: Request) -> Response:
        names = request.query_params.getlist("run") or [name for name, run in watch.runs.items() if run.finished]
        folders = [_known(watch, name).folder for name in names]

        def build() -> bytes:
            with report_lock:
                return build_report(folders, REPORT_PICTURES, REPORT_PICTURE).html

        try:
            return HTMLResponse(await run_in_threadpool(build))
        except UserError as error:
            return PlainTextResponse(f"{error}\n", status_code=404, headers=SECURITY)

    routes = [
        Route("/", page),
        Route("/view.js", script_file),
        Route("/view.css", style_file),
        Route("/events", events),
        Route("/picture", picture),
        Route("/report", report),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)])


async def follow(watch: Watch, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: `runs` with the names of all there are, whenever they change, and `run` with what is new of one.

    A page that connects again is told everything again.
    """
    told: dict[str, int] = {}
    names: list[str] | None = None
    quiet = 0.0
    while not stopping():
        runs, news = watch.runs, []
        if names != list(runs):
            names = list(runs)
            told = {name: version for name, version in told.items() if name in runs}
            news.append(_event("runs", {"folder": str(watch.root), "names": names}))
        for name, run in runs.items():
            if told.get(name) != run.version:
                told[name] = run.version
                news.append(_event("run", run.snapshot))
        quiet = 0.0 if news else quiet + SECONDS
        if quiet >= SILENCE:
            news, quiet = [": nothing new\n\n"], 0.0
        for one in news:
            yield one
        await asyncio.sleep(SECONDS)


def _event(kind: str, content: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(content)}\n\n"


def _picture(watch: Watch, request: Request) -> Response:
    """A small copy of a picture that an answer is about: `?run=NAME&answer=ID&number=0`."""
    asked = request.query_params
    sample = _known(watch, asked.get("run", "")).find_sample(asked.get("answer", ""))
    number = asked.get("number", "0")
    if sample is None or not number.isdecimal() or int(number) >= len(sample.images):
        raise HTTPException(404, "no such picture")
    try:
        content = shrink(sample.images[int(number)], PICTURE)
    except UnreadableImageError as error:
        raise HTTPException(404, str(error)) from error
    return Response(content, media_type="image/webp", headers={**SECURITY, "Cache-Control": "max-age=3600"})


def _known(watch: Watch, name: str) -> FollowedRun:
    if name not in watch.runs:
        raise HTTPException(404, "no such run")
    return watch.runs[name]
