"""A service over HTTP: a page for the browser, and what it asks for, for programs too."""

from __future__ import annotations

import functools
import io
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click
from anyio.to_thread import run_sync
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ._cli_options import with_settings, with_strength, with_weights
from ._color import COLORS
from ._demo import STYLES
from ._drawn import draw_style
from ._errors import WctError, in_one_line
from ._recipe import PRESETS
from ._stylize import stylize
from ._write import find_format, write_image

if TYPE_CHECKING:
    from starlette.datastructures import FormData, UploadFile
    from starlette.requests import Request

    from ._stylizer import Stylizer

_PICTURES = ("content", "style", "mask")
"""Fields that are files. What stands in them as text is refused: it could name a file here."""


def make_app(stylizer: Stylizer, memory: str | float) -> Starlette:
    """Make the service, an ASGI application.

    `GET /` is the page; `GET /choices` and `GET /styles/NAME.png`, what it has to choose from; and
    `POST /stylize` repaints: a form with files as `content`, `style` and `mask`, the last two once
    or more, `wct stylize`'s settings by their names there, and the `format` of the result. A
    mistake is answered with status 400 and one line. Pictures are repainted one at a time.

    Args:
        stylizer: The networks.
        memory: How much memory a picture may need.
    """
    one_at_a_time = anyio.CapacityLimiter(1)

    async def repaint(request: Request) -> Response:
        async with request.form() as form:
            work = functools.partial(_repaint, form, model=stylizer, memory=memory)
            try:
                return await run_sync(work, limiter=one_at_a_time)
            except WctError as error:
                return PlainTextResponse(in_one_line(error) + "\n", 400)
            except anyio.get_cancelled_exc_class():
                return PlainTextResponse("the server was told to stop\n", 503)

    page = HTMLResponse(Path(__file__).with_name("page.html").read_bytes())
    choices = JSONResponse(
        {"model": stylizer.name, "presets": [*PRESETS], "colors": COLORS, "styles": STYLES}
    )
    return Starlette(
        routes=[
            Route("/", lambda _: page),
            Route("/choices", lambda _: choices),
            Route("/styles/{name}.png", _show_style),
            Route("/stylize", repaint, methods=["POST"]),
        ]
    )


@click.command(add_help_option=False)
@with_strength
@with_weights
@with_settings
@click.option("--format", default="png")
def _settings(**_: Any) -> None:
    """What a form may say besides pictures, as the shell's options are read."""


def _repaint(form: FormData, **options: Any) -> Response:
    pictures, words = defaultdict(list), []
    for name, value in form.multi_items():
        if name in _PICTURES:
            pictures[name].append(_open(name, value))
        elif not isinstance(value, str):
            raise WctError(f"there is no file {name!r}: they are {', '.join(_PICTURES)}")
        elif value:
            words.append(f"--{name}={value}")
    try:
        settings = _settings.make_context("settings", words).params
    except click.UsageError as error:
        raise WctError(error.format_message()) from error
    if len(pictures["content"]) != 1 or not pictures["style"]:
        raise WctError("give one file as content, and one or more as style")
    target, suffix = io.BytesIO(), settings.pop("format")
    kind, _ = find_format(target, suffix)
    result = stylize(
        pictures["content"][0],
        pictures["style"],
        weights=settings.pop("weights") or None,
        masks=pictures["mask"] or None,
        **settings,
        **options,
    )
    write_image(result, target, format=suffix)
    return Response(target.getvalue(), media_type=Image.MIME[kind])


def _open(name: str, value: UploadFile | str) -> io.BytesIO:
    if isinstance(value, str):
        raise WctError(f"{name} must be a file, as of a form, and not text")
    stream = io.BytesIO(value.file.read())
    stream.name = value.filename or name
    return stream


def _show_style(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STYLES:
        raise HTTPException(404)
    return Response(_draw(name), media_type="image/png")


@functools.cache
def _draw(name: str) -> bytes:
    drawn = io.BytesIO()
    write_image(draw_style(name), drawn, format="png")
    return drawn.getvalue()
