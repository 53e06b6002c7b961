"""The command `wct serve`."""

import socket
from importlib.util import find_spec
from typing import Any

import click

from ._cli_options import argument_of
from ._errors import WctError
from ._stylize import stylize

_NEEDED = ("starlette", "uvicorn", "python-multipart")

_GRACE = 3
"""Seconds that a picture may still take after Ctrl-C."""


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; the default one is for this machine alone.",
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port; 0 for any that is free.",
)
@argument_of(stylize, "memory", "--memory", metavar="BYTES")
@argument_of(stylize, "model", "--model")
def serve(host: str, port: int, memory: str, model: str) -> None:
    """Repaint pictures in the browser, and for other programs, over HTTP.

    Prints the address of the page. It has no passwords and no encryption: beyond this machine, put
    it behind a server that has. Ctrl-C ends it.

    Example: wct serve --port 8080
    """
    app = _make_app(memory, model)
    import uvicorn

    with _listen(host, port) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE)
        shown = f"[{host}]" if ":" in host else host
        try:
            click.echo(f"http://{shown}:{listener.getsockname()[1]}")
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            raise SystemExit(0) from None


def _make_app(memory: str, model: str) -> Any:
    missing = [name for name in _NEEDED if find_spec(name.replace("-", "_")) is None]
    if missing:
        raise WctError(f"wct serve needs more packages: pip install {' '.join(missing)}")
    from ._loaded import find_stylizer
    from ._memory import read_memory
    from ._serve import make_app

    read_memory(memory)
    return make_app(find_stylizer(model), memory)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0]
        raise WctError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        ) from error
