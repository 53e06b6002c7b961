"""The service over HTTP, as a browser and as programs use it."""

import contextlib
import io
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import click.testing
import numpy as np
import pytest
import requests
import uvicorn
from conftest import picture
from PIL import Image

import wct
from wct._cli import main
from wct._color import COLORS
from wct._drawn import draw_style
from wct._pixels import to_bytes
from wct._recipe import PRESETS
from wct._serve import make_app


def encode(pixels):
    stream = io.BytesIO()
    Image.fromarray(to_bytes(pixels)).save(stream, "png")
    return stream.getvalue()


CONTENT, STYLE, OTHER = (encode(picture(30, 40, seed)) for seed in range(3))
MASKS = [encode(np.float32([[left, 1 - left]] * 2)) for left in (1, 0)]


@contextlib.contextmanager
def serving(app):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url(tiny):
    with serving(make_app(tiny, "3GB")) as address:
        yield address


def post(url, *pictures, **settings):
    """Ask for a picture: (name, bytes) each, and text."""
    files = [(name, (f"{name}.png", data)) for name, data in pictures]
    return requests.post(f"{url}/stylize", files=files, data=settings, timeout=60)


def pixels_of(response):
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {}),
        ({"alpha": "", "preset": "paper"}, {"preset": "paper"}),
        ({"alpha": "0.3,1", "levels": "2,1"}, {"alpha": (0.3, 1.0), "levels": (2, 1)}),
        ({"size": "24", "style-size": "20"}, {"size": 24, "style_size": 20}),
        ({"colors": "luminance", "detail": "0.5"}, {"colors": "luminance", "detail": 0.5}),
        ({"swap": "3", "levels": "3"}, {"swap": (3,), "levels": (3,)}),
        ({"refine": "1", "levels": "1"}, {"refine": 1, "levels": (1,)}),
    ],
)  # fmt: skip
def test_a_picture_is_what_python_makes_of_it(url, tiny, settings, options):
    found = pixels_of(post(url, ("content", CONTENT), ("style", STYLE), **settings))
    wanted = wct.stylize(io.BytesIO(CONTENT), io.BytesIO(STYLE), model=tiny, **options)
    np.testing.assert_array_equal(found, wanted)


def test_several_styles_are_mixed_or_go_where_masks_say(url, tiny):
    given = [("content", CONTENT), ("style", STYLE), ("style", OTHER)]
    content, *styles = (Image.open(io.BytesIO(data)) for _, data in given)
    found = pixels_of(post(url, *given, weight=["0.25", "0.75"]))
    wanted = wct.stylize(content, styles, weights=(0.25, 0.75), model=tiny)
    np.testing.assert_array_equal(found, wanted)

    found = pixels_of(post(url, *given, *(("mask", mask) for mask in MASKS), feather="6"))
    masks = [Image.open(io.BytesIO(mask)) for mask in MASKS]
    wanted = wct.stylize(content, styles, masks=masks, feather=6, model=tiny)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("name", "kind"), [("png", "image/png"), ("JPG", "image/jpeg"), ("webp", "image/webp")]
)
def test_the_format_is_the_one_asked_for(url, name, kind):
    found = post(url, ("content", CONTENT), ("style", STYLE), format=name, levels="1")
    assert found.headers["content-type"] == kind
    assert Image.open(io.BytesIO(found.content)).get_format_mimetype() == kind


@pytest.mark.parametrize(
    ("pictures", "settings", "message"),
    [
        ([], {}, "give one file as content, and one or more as style"),
        ([("content", CONTENT)], {}, "give one file as content, and one or more as style"),
        ([("content", CONTENT)] * 2 + [("style", STYLE)], {}, "give one file as content"),
        ([("content", CONTENT)], {"style": __file__}, "style must be a file"),
        ([("style", STYLE)], {"content": __file__}, "content must be a file"),
        ([("content", CONTENT), ("style", b"no picture")], {}, r"cannot read style\.png: "),
        ([("content", CONTENT), ("style", b"")], {}, r"cannot read style\.png: "),
        ([("content", CONTENT), ("style", STYLE), ("extra", STYLE)], {}, "no file 'extra': they"),
        ([("content", CONTENT), ("style", STYLE)], {"alhpa": "1"}, "No such option '--alhpa'"),
        ([("content", CONTENT), ("style", STYLE)], {"model": "/"}, "No such option '--model'"),
        ([("content", CONTENT), ("style", STYLE)], {"alpha": "2"}, "alpha must be from 0 to 1"),
        ([("content", CONTENT), ("style", STYLE)], {"alpha": "much"}, "'much' is no number"),
        ([("content", CONTENT), ("style", STYLE)], {"size": "0"}, "'--size': 0 is not in the"),
        ([("content", CONTENT), ("style", STYLE)], {"preset": "nice"}, "no preset 'nice'"),
        ([("content", CONTENT), ("style", STYLE)], {"format": "gif"}, "format 'gif' is not one"),
    ],
)
def test_a_mistake_is_answered_in_one_line(url, pictures, settings, message):
    found = post(url, *pictures, **settings)
    assert found.status_code == 400
    assert found.headers["content-type"].startswith("text/plain")
    assert re.search(message, found.text)
    assert found.text.endswith("\n")
    assert found.text.count("\n") == 1


def test_memory_is_kept_to(tiny):
    with serving(make_app(tiny, "1KB")) as url:
        found = post(url, ("content", CONTENT), ("style", STYLE))
    assert found.status_code == 400
    assert "memory" in found.text


def test_pictures_are_repainted_one_at_a_time(url, monkeypatch):
    working, most = [], []

    def stylize(*_, **__):
        working.append(1)
        most.append(len(working))
        time.sleep(0.05)
        working.pop()
        return Image.new("RGB", (2, 1))

    monkeypatch.setattr("wct._serve.stylize", stylize)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(post, url, ("content", CONTENT), ("style", STYLE)) for _ in range(4)]
        assert {pixels_of(each.result()).shape for each in asked} == {(1, 2, 3)}
    assert most == [1] * 4


def test_the_page_stands_by_itself(url):
    found = requests.get(url, timeout=60)
    assert found.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", found.text)


def test_there_is_to_choose_what_there_is(url):
    choices = requests.get(f"{url}/choices", timeout=60).json()
    assert choices["model"] == "tiny"
    assert choices["presets"] == [*PRESETS]
    assert choices["colors"] == [*COLORS]
    for name in choices["styles"]:
        found = pixels_of(requests.get(f"{url}/styles/{name}.png", timeout=60))
        np.testing.assert_array_equal(found, to_bytes(draw_style(name)))
    assert requests.get(f"{url}/styles/none.png", timeout=60).status_code == 404


def test_what_the_page_sends_is_known(url, monkeypatch):
    monkeypatch.setattr("wct._serve.stylize", lambda *_, **__: Image.new("RGB", (2, 1)))
    page = Path(wct.__file__).with_name("page.html").read_text("utf-8")
    fields = re.findall(r'<select .*?name="([\w-]+)">(.*?)</select>', page, re.DOTALL)
    assert {name for name, _ in fields} == {"preset", "alpha", "colors", "style-size", "size"}
    for name, options in fields:
        for value in re.findall(r'<option value="(.*?)"', options):
            found = post(url, ("content", CONTENT), ("style", STYLE), **{name: value})
            assert found.status_code == 200, found.text


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command_serves_until_it_is_told_to_stop(tiny_directory, told, code):
    command = [sys.executable, "-m", "wct", "serve", "--port", "0", "--model", tiny_directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().decode().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            assert pixels_of(post(url, ("content", CONTENT), ("style", STYLE))).shape == (30, 40, 3)
            process.send_signal(told)
            assert process.wait(timeout=60) == code
            assert process.stderr.read() == b""
        finally:
            process.kill()


def run(*arguments):
    found = click.testing.CliRunner().invoke(main, ["serve", *map(str, arguments)])
    assert found.exit_code == 1
    assert found.stderr.count("\n") == 1
    return found.stderr


def test_what_the_command_cannot_do_is_told(tiny_directory, monkeypatch):
    assert "no model 'none'" in run("--model", "none")
    assert "memory" in run("--model", tiny_directory, "--memory", "much")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("--model", tiny_directory, "--port", port)
    assert f"cannot listen on 127.0.0.1, port {port}: " in told
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    assert find_spec("starlette")
    assert "needs more packages: pip install uvicorn python-multipart" in run()
