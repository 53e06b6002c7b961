"""The documentation says what there is, and what it shows runs."""

import builtins
import dataclasses
import hashlib
import inspect
import json
import re
import shlex
import textwrap
from pathlib import Path

import click
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from videos import write

import wct
from training.__main__ import main as training_command
from training.bank import write_bank
from wct import _loaded, _models
from wct._cli import main as wct_command
from wct._drawn import draw_style
from wct._layers import layer_channels, layer_names
from wct._scene import draw_scene

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
RUN = (
    "../README.md", "index.md", "quickstart.md", "control.md", "large.md", "augment.md",
    "benchmarks.md", "video.md",
)  # fmt: skip
PAINTINGS = {"painting": "mosaic", "other": "strokes"}
PUBLIC = [name for name in wct.__all__ if not name.startswith("__")]
DESCRIBED = [name for name in PUBLIC if callable(getattr(wct, name))]  # all but type aliases
WIDTHS = (4, 6, 8, 8, 8)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    """The code blocks of a page in some languages, each with its line."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: match.start()].count("\n") + 2, match[2])
        for match in _FENCE.finditer(text)
        if match[1] in languages
    ]


def commands(group, *path):
    """All commands below a group, by their words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield pytest.param(command, (*path, name), id=" ".join((*path, name)))


def section(docstring, title):
    """The entries of a section such as `Args:`, by name, each as one line of text."""
    match = re.search(rf"^{title}:\n((?:[ ]{{4}}.*\n|\n)*)", docstring + "\n", re.MULTILINE)
    body = textwrap.dedent(match[1]) if match else ""
    entries = re.findall(r"^\*?([\w.]+): (.*(?:\n {4}.*)*)", body, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def functions_of(name):
    """A public function, or the public methods of a public class."""
    found = getattr(wct, name)
    if not inspect.isclass(found):
        return [found]
    return [
        inspect.unwrap(getattr(found, key))
        for key, value in vars(found).items()
        if (key == "__call__" or not key.startswith("_"))
        and (inspect.isfunction(value) or isinstance(value, classmethod | staticmethod))
    ]


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def test_every_public_name_is_in_the_reference():
    documented = re.findall(
        r"^::: wct\.(\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(documented) == sorted(PUBLIC)


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_public_name_says_what_it_is(name):
    docstring = inspect.getdoc(getattr(wct, name))
    assert docstring
    assert docstring.partition("\n")[0].endswith((".", ":")), "the first line is a sentence"


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_parameter_is_documented(name):
    found = getattr(wct, name)
    for function in functions_of(name):
        docstring = inspect.getdoc(function)
        assert docstring, f"{function.__qualname__} has no docstring"
        described = section(docstring, "Args")
        # A method of one sentence may leave it at that; a function may not.
        if described or function is found:
            assert list(described) == parameters(function), function.__qualname__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_field_is_documented(name):
    found = getattr(wct, name)
    if dataclasses.is_dataclass(found):
        fields = [field.name for field in dataclasses.fields(found)]
        assert list(section(inspect.getdoc(found), "Attributes")) == fields


@pytest.mark.parametrize("name", DESCRIBED)
def test_documented_errors_exist(name):
    for function in functions_of(name):
        for error in section(inspect.getdoc(function), "Raises"):
            kind = getattr(wct, error, None) or getattr(builtins, error, None)
            assert inspect.isclass(kind), error
            assert issubclass(kind, Exception), error


def test_the_reference_walks_through_the_command():
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert re.search(r"^::: mkdocs-click\n    :module: wct\._cli\n    :command: main$", text, re.M)


@pytest.mark.parametrize(("command", "path"), [*commands(wct_command)])
def test_every_command_is_explained(command, path):
    assert f"wct {' '.join(path)}" in (DOCS / "quickstart.md").read_text(encoding="utf-8")
    check_help(command)
    assert f"Example: wct {' '.join(path)}" in inspect.cleandoc(command.help)


@pytest.mark.parametrize(("command", "path"), [*commands(training_command)])
def test_every_training_command_is_explained(command, path):
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    assert f"python -m training {' '.join(path)}" in text
    check_help(command)


def check_help(command):
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith("."), parameter.name


SHELL = [
    pytest.param(line, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in blocks(page, "sh")
    for line in block.replace("\\\n", " ").splitlines()
    if re.search(r"\b(wct|python -m training) [\w-]", line)
]


@pytest.mark.parametrize("line", SHELL)
def test_shell_examples_name_existing_commands_and_options(line):
    words = shlex.split(re.sub(r"\s[<>]\s*\S+", "", line.rpartition("| ")[2]))
    root, words = (wct_command, words[1:]) if words[0] == "wct" else (training_command, words[3:])
    if words == ["--help"]:
        return
    command = root
    while isinstance(command, click.Group):
        command, name, words = command.commands[words[0]], words[0], words[1:]
    context = click.Context(command, info_name=name, resilient_parsing=True)
    values, left_over, _ = command.make_parser(context).parse_args(words)
    assert not left_over
    for parameter in command.params:
        if parameter.required:
            assert values.get(parameter.name), f"{parameter.name} is missing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = [
        re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        for heading in headings
    ]
    return slugs + re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)


def test_every_page_is_in_the_menu():
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert re.search(rf"[ /]{re.escape(page.relative_to(DOCS).as_posix())}$", menu, re.M), page


def random_layers(channels, rng):
    """Tensors of layers with these channels (in, out), by their names on disk."""
    for name, (inputs, outputs) in channels.items():
        kernel = rng.normal(0, (2 / 9 / inputs) ** 0.5, (3, 3, inputs, outputs))
        yield f"{name}.kernel", kernel.astype(np.float32)
        yield f"{name}.bias", np.full(outputs, 0.1, np.float32)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A directory of models in which `vgg19-lite` is tiny, random, and as `training.md` says."""
    rng = np.random.default_rng(0)
    channels = layer_channels(WIDTHS)
    mirrored = {name: (outputs, inputs) for name, (inputs, outputs) in channels.items()}
    networks = {"encoder": channels} | {
        f"decoder{level}": {name: mirrored[name] for name in layer_names(level)}
        for level in range(1, 6)
    }
    models = tmp_path_factory.mktemp("pretrained")
    directory = models / "vgg19-lite"
    directory.mkdir()
    files = {}
    for name, layers in networks.items():
        content = safetensors.numpy.save(dict(random_layers(layers, rng)))
        (directory / f"{name}.safetensors").write_bytes(content)
        files[f"{name}.safetensors"] = hashlib.sha256(content).hexdigest()
    card = {"name": "vgg19-lite", "widths": WIDTHS, "files": files}
    (directory / "model.json").write_text(json.dumps(card))
    write_bank(directory, [draw_style(style, 32) for style in PAINTINGS.values()])
    return models


SNIPPETS = [
    pytest.param(code, id=f"{name}-{line}")
    for name in RUN
    for line, code in blocks(DOCS / name, "python")
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_examples_run(code, pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(_models, "_pretrained", lambda: pretrained)
    monkeypatch.chdir(tmp_path)
    pictures = {"photo": draw_scene(64, 64)}
    pictures |= {name: draw_style(style, 64) for name, style in PAINTINGS.items()}
    for name, pixels in pictures.items():
        Image.fromarray(np.uint8(255 * pixels)).save(f"{name}.jpg")
    wct.read_style("painting.jpg").save("painting.safetensors")
    write("clip.mp4", [np.asarray(Image.open("photo.jpg"))] * 2)
    _loaded.load_stylizer.cache_clear()
    try:
        exec(compile(code, "example", "exec"), {"__name__": "example"})
    finally:
        _loaded.load_stylizer.cache_clear()
