import contextlib
import errno
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import picture
from PIL import Image

import wct
from wct._cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a content and a style."""
    monkeypatch.chdir(tmp_path)
    for name, size, seed in (("photo.jpg", (40, 50), 1), ("art.png", (32, 32), 2)):
        pixels = np.uint8(255 * picture(*size, seed))
        Image.fromarray(pixels).save(name, quality=95)
    return tmp_path


@pytest.fixture
def command(tiny_directory, folder):
    """Runs `wct stylize` on the tiny model."""

    def run(*arguments, **options):
        arguments = ["stylize", *map(str, arguments), "--model", str(tiny_directory)]
        return CliRunner().invoke(main, arguments, **options)

    return run


@pytest.fixture
def invoke(tiny_directory, folder):
    """Runs any command on the tiny model, where there is another style, too."""
    Image.fromarray(np.uint8(255 * picture(40, 24, 3))).save("other.png")

    def run(*arguments):
        arguments = [*map(str, arguments), "--model", str(tiny_directory)]
        return CliRunner().invoke(main, arguments)

    return run


def wct_process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "wct", *map(str, arguments)], capture_output=True, **options
    )


def test_stylize_writes_what_the_library_returns(command, tiny_directory):
    result = command("photo.jpg", "art.png", "-o", "out.png", "-a", "0.8", "--levels", "4,2")
    assert result.exit_code == 0, result.output
    assert result.stdout == "out.png\n"
    expected = wct.stylize("photo.jpg", "art.png", 0.8, levels=(4, 2), model=tiny_directory)
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), np.asarray(expected))


def test_the_defaults_are_the_librarys(command, folder, tiny_directory):
    result = command("photo.jpg", "art.png")
    assert result.stdout == "photo-art.png\n"
    expected = wct.stylize("photo.jpg", "art.png", model=tiny_directory)
    np.testing.assert_array_equal(np.asarray(Image.open("photo-art.png")), np.asarray(expected))


def test_an_alpha_for_each_level(command, tiny_directory):
    command("photo.jpg", "art.png", "-o", "out.png", "-a", "0.2,0.9", "--levels", "3,1")
    expected = wct.stylize("photo.jpg", "art.png", (0.2, 0.9), levels=(3, 1), model=tiny_directory)
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), np.asarray(expected))


def test_controls(command, tiny_directory):
    command("photo.jpg", "art.png", "-o", "a.png", "--preset", "paper", "--ridge", "0.1",
            "--solver", "newton-schulz", "--levels", "3,2", "--swap", "3")  # fmt: skip
    expected = wct.stylize(
        "photo.jpg", "art.png", preset="paper", ridge=0.1, solver="newton-schulz", levels=(3, 2),
        swap=(3,), model=tiny_directory,
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(Image.open("a.png")), np.asarray(expected))
    command("photo.jpg", "art.png", "-o", "b.png", "--levels", "", "--refine", "2")
    expected = wct.stylize("photo.jpg", "art.png", levels=(), refine=2, model=tiny_directory)
    np.testing.assert_array_equal(np.asarray(Image.open("b.png")), np.asarray(expected))
    mask = np.zeros((40, 50), np.uint8)
    mask[:, 25:] = 255
    Image.fromarray(mask).save("mask.png")
    command("photo.jpg", "art.png", "-o", "c.png", "--mask", "mask.png", "--feather", "20")
    expected = wct.stylize(
        "photo.jpg", ["art.png"], masks=["mask.png"], feather=20, model=tiny_directory
    )
    np.testing.assert_array_equal(np.asarray(Image.open("c.png")), np.asarray(expected))


def test_several_styles(invoke, tiny_directory):
    arguments = ("stylize", "photo.jpg", "art.png", "-s", "other.png", "--levels", "2,1")
    styles, asked = ["art.png", "other.png"], {"levels": (2, 1), "model": tiny_directory}
    invoke(*arguments, "-o", "a.png", "-w", "0.2", "-w", "0.8")
    expected = wct.stylize("photo.jpg", styles, weights=(0.2, 0.8), **asked)
    np.testing.assert_array_equal(np.asarray(Image.open("a.png")), np.asarray(expected))
    left = np.arange(50) < 20
    Image.fromarray(np.tile(np.where(left, np.uint8(3), np.uint8(9)), (40, 1))).save("labels.png")
    invoke(*arguments, "-o", "b.png", "--labels", "labels.png")
    masks = [np.tile(np.float32(where), (40, 1)) for where in (left, ~left)]
    expected = wct.stylize("photo.jpg", styles, masks=masks, **asked)
    np.testing.assert_array_equal(np.asarray(Image.open("b.png")), np.asarray(expected))


def test_sizes(command, tiny_directory):
    command("photo.jpg", "art.png", "-o", "out.png", "--size", "30", "--style-size", "16")
    expected = wct.stylize("photo.jpg", "art.png", size=30, style_size=16, model=tiny_directory)
    found = np.asarray(Image.open("out.png"))
    assert found.shape == (24, 30, 3)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_nothing_is_overwritten_unless_told(command, folder):
    (folder / "out.png").write_bytes(b"precious")
    refused = command("photo.jpg", "art.png", "-o", "out.png")
    assert refused.exit_code == 1
    assert "out.png exists already" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert (folder / "out.png").read_bytes() == b"precious"
    assert command("photo.jpg", "art.png", "-o", "out.png", "--overwrite").exit_code == 0
    assert wct.read_image("out.png").pixels.shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("missing.jpg", "art.png"), 1, "missing.jpg"),
        (("photo.jpg", "missing.png"), 1, "missing.png"),
        (("photo.jpg", "art.png", "-o", "out.gif"), 1, "gif"),
        (("photo.jpg", "art.png", "-o", "nowhere/out.png"), 1, "nowhere"),
        (("photo.jpg", "art.png", "-a", "1.5"), 1, "1.5"),
        (("photo.jpg", "art.png", "-a", "1,1"), 1, "2 values of alpha for 5 levels"),
        (("photo.jpg", "art.png", "--levels", "6"), 1, "6"),
        (("photo.jpg", "art.png", "--levels", "five"), 2, "five"),
        (("photo.jpg", "art.png", "--size", "0"), 2, "0"),
        (("-", "-"), 2, "standard input"),
        (("photo.jpg", "-", "-s", "-"), 2, "standard input"),
        (("photo.jpg", "art.png", "--labels", "art.png", "--mask", "art.png"), 2, "not both"),
        (("two\nlines.jpg", "art.png"), 1, "two lines.jpg"),
        (("photo.jpg", "art.png", "-o", "folder.png", "--overwrite"), 1, "it is a directory"),
        (("photo.jpg", "art.png", "-o", "."), 1, "it is a directory"),
        (("photo.jpg", "art.png", "--swap", "5", "--levels", "2"), 1, "for levels that run: [2]"),
        (("photo.jpg", "art.png", "--levels", "2.0"), 2, "2.0"),
        (("photo.jpg",), 2, "STYLE"),
        (("photo.jpg", "art.png", "--labels", "art.png"), 1, "labels for 1 styles"),
        (("photo.jpg", "art.png", "--colour"), 2, "--colour"),
    ],
)
def test_mistakes_are_one_clear_line(command, folder, arguments, status, message):
    (folder / "folder.png").mkdir()
    before = sorted(folder.rglob("*"))
    result = command(*arguments)
    assert result.exit_code == status
    assert not isinstance(result.exception, Exception), result.exception
    assert message in result.stderr
    if status == 1:
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("Error: ")
    assert result.stdout == ""
    assert sorted(folder.rglob("*")) == before


def test_a_damaged_picture_is_one_clear_line(command, folder):
    (folder / "photo.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:300])
    result = command("photo.jpg", "art.png")
    assert result.exit_code == 1
    assert "photo.jpg" in result.stderr


def test_an_unknown_model_is_one_clear_line(folder):
    result = CliRunner().invoke(main, ["stylize", "photo.jpg", "art.png", "--model", "vgg91"])
    assert result.exit_code == 1
    assert "no model 'vgg91'" in result.stderr


def test_a_dash_reads_standard_input_and_writes_standard_output(folder, tiny_directory):
    content = (folder / "photo.jpg").read_bytes()
    found = wct_process(
        "stylize", "-", "art.png", "--model", tiny_directory, input=content, check=True
    )
    expected = wct.stylize("photo.jpg", "art.png", model=tiny_directory)
    result = Image.open(io.BytesIO(found.stdout))
    assert result.format == "PNG"
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))
    assert found.stderr == b""


def test_a_dash_may_stand_for_the_style(command, folder):
    found = command("photo.jpg", "-", "--levels", "1", input=(folder / "art.png").read_bytes())
    assert found.stdout == "photo-stdin.png\n"
    command("photo.jpg", "art.png", "--levels", "1")
    assert (folder / "photo-stdin.png").read_bytes() == (folder / "photo-art.png").read_bytes()


def test_a_closed_standard_output_is_one_line(folder, tiny_directory, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    arguments = ["stylize", "photo.jpg", "art.png", "--levels", "1", "--model", str(tiny_directory)]
    with pytest.raises(click.ClickException, match="standard output is closed: name a file"):
        main([*arguments, "-o", "-"], standalone_mode=False)


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise")
def test_a_reader_that_is_gone_is_no_message():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wct", "--version"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""


def test_a_drive_that_fails_is_one_line_with_its_name(monkeypatch):
    def fail():
        raise OSError(errno.EIO, "Input/output error", "/mnt/models")

    monkeypatch.setattr("wct._models.list_models", fail)
    result = CliRunner().invoke(main, ["models", "list"])
    assert result.exit_code == 1
    assert result.stderr == "Error: /mnt/models: Input/output error\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("what", ["picture", "path", "--version", "--help"])
def test_a_full_standard_output_is_one_line(folder, tiny_directory, what):
    arguments = ["stylize", "photo.jpg", "art.png", "--levels", "1", "--model", str(tiny_directory)]
    written = {"picture": [*arguments, "-o", "-"], "path": [*arguments, "-o", "out.png"]}
    command = [sys.executable, "-m", "wct", *written.get(what, [what])]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: cannot write the output: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="names are text here")
def test_no_standard_error_and_a_name_that_is_no_text(folder, tiny_directory):
    arguments = ("stylize", "photo.jpg", "art.png", "--levels", "1", "--model", str(tiny_directory))
    command = shlex.join([sys.executable, "-m", "wct", *arguments])
    done = subprocess.run(
        ["sh", "-c", f"exec {command} -o \"$(printf 'o\\377.png')\" 2>&-"],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 0
    assert done.stdout == b"o\xff.png\n"
    assert Path(os.fsdecode(b"o\xff.png")).exists()


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("utf-8", "漢é".encode()), ("cp1252", b"\\u6f22\xe9"), ("cp932", b"\x8a\xbf\\xe9")],
)
def test_a_name_that_standard_output_cannot_encode(folder, tiny_directory, encoding, printed):
    """As where Windows writes to a file or a pipe."""
    arguments = ("photo.jpg", "art.png", "--levels", "1", "--model", tiny_directory)
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = wct_process("stylize", *arguments, "-o", "漢é.png", env=environment)
    assert done.stdout.split() == [printed + b".png"]
    assert done.stderr == b""
    assert Path("漢é.png").exists()


@pytest.mark.parametrize("closed", [False, True])
def test_an_empty_standard_input_is_one_line(folder, closed):
    command = f"{shlex.quote(sys.executable)} -m wct stylize - art.png {'<&-' if closed else ''}"
    done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 1
    assert done.stderr == b"Error: there is nothing on standard input: give it a picture's file\n"


@pytest.mark.parametrize("name", ["style", "texture"])
def test_standard_input_is_read_once(name):
    result = CliRunner().invoke(main, [name, "-", "-", "-o", "new.safetensors"])
    assert result.exit_code == 2
    assert "only one picture can be read from standard input" in result.stderr


def test_without_docstrings_there_is_no_help_but_all_else(folder, tiny_directory):
    command = ["-m", "wct", "stylize", "photo.jpg", "art.png", "--model", str(tiny_directory)]
    subprocess.run([sys.executable, "-OO", *command, "-o", "out.png"], check=True)
    Image.open("out.png").verify()


def test_help_and_version_do_not_wait_for_jax():
    script = (
        "import sys, wct._cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally: assert 'jax' not in sys.modules and 'flax' not in sys.modules\n"
    )
    for arguments in (["--help"], ["--version"], ["stylize", "--help"], ["demo", "-h"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        assert "Show" in done.stdout or wct.__version__ in done.stdout
        assert "Traceback" not in done.stderr


def test_help_tells_the_librarys_defaults():
    text = CliRunner().invoke(main, ["stylize", "--help"], terminal_width=200).output
    assert "[default: balanced]" in text
    assert "[default: vgg19-lite]" in text
    assert "Strength of the style, from 0 (the content itself) to 1." in text
    text = CliRunner().invoke(main, ["texture", "--help"], terminal_width=200).output
    assert "[default: 512,512]" in text
    assert "[default: 3; x>=1]" in text


def test_texture_writes_what_the_library_returns(invoke, tiny_directory):
    result = invoke("texture", "art.png", "other.png", "--size", "32,48", "--seed", "3",
                    "-w", "0.2", "-w", "0.8", "--passes", "1", "--style-size", "24", "--seamless",
                    "--transform", "mean", "--levels", "3,1")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout == "texture.png\n"
    expected = wct.texture(
        ["art.png", "other.png"], (32, 48), seed=3, weights=(0.2, 0.8), passes=1, style_size=24,
        seamless=True, transform="mean", levels=(3, 1), model=tiny_directory,
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(Image.open("texture.png")), np.asarray(expected))


def test_style_writes_what_the_library_measures(invoke, tiny_directory):
    result = invoke("style", "art.png", "other.png", "-o", "s.safetensors", "--style-size", "24")
    assert result.exit_code == 0, result.output
    assert result.stdout == "s.safetensors\n"
    wct.read_style("art.png", "other.png", style_size=24, model=tiny_directory).save("wanted")
    assert Path("s.safetensors").read_bytes() == Path("wanted").read_bytes()


WORK = {
    "texture": (
        "wct._cli_stylize.make_texture",
        ["texture", "art.png", "--size", "16,16", "--passes", "1", "-o"],
    ),
    "style": ("wct._cli_stylize.measure_style", ["style", "art.png", "-o"]),
    "demo": ("wct._demo.draw_sheet", ["demo", "-o"]),
}


@pytest.mark.parametrize("name", WORK)
def test_an_output_that_will_not_do_is_refused_before_the_work(invoke, folder, monkeypatch, name):
    work, arguments = WORK[name]
    monkeypatch.setattr(work, None)
    output = folder / ("new.safetensors" if name == "style" else "new.png")
    output.write_bytes(b"precious")
    refused = invoke(*arguments, output.name)
    assert refused.exit_code == 1
    assert f"{output.name} exists already" in refused.stderr
    assert output.read_bytes() == b"precious"
    refused = invoke(*arguments, "new.gif")
    assert refused.exit_code == (2 if name == "style" else 1)
    assert "gif" in refused.stderr


@pytest.mark.parametrize("name", ["texture", "style"])
def test_an_output_is_overwritten_where_it_may_be(invoke, folder, name):
    output = folder / ("new.safetensors" if name == "style" else "new.png")
    output.write_bytes(b"old")
    result = invoke(*WORK[name][1], output.name, "--overwrite")
    assert result.exit_code == 0, result.output
    assert output.read_bytes() != b"old"


def test_a_texture_has_a_height_and_a_width(invoke):
    result = invoke("texture", "art.png", "--size", "64")
    assert result.exit_code == 2
    assert "--size takes height and width, such as 256,1024" in result.stderr


def test_demo_writes_a_sheet(folder, tiny_directory, monkeypatch):
    monkeypatch.setattr("wct._demo._SIDE", 64)
    arguments = ["demo", "--model", str(tiny_directory)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "wct-demo.png\n"
    sheet = np.asarray(Image.open("wct-demo.png"))
    assert sheet.shape == (2 * 64 + 8, 3 * 64 + 2 * 8, 3)
    cells = [sheet[r : r + 64, c : c + 64] for r in (0, 72) for c in (0, 72, 144)]
    assert len({cell.tobytes() for cell in cells}) == 6
    assert CliRunner().invoke(main, [*arguments, "-a", "0", "--overwrite"]).exit_code == 0
    sheet = np.asarray(Image.open("wct-demo.png"), np.int16)
    for r, c in ((0, 72), (0, 144), (72, 0), (72, 72), (72, 144)):  # but for the insets below
        assert np.abs(sheet[r : r + 40, c : c + 64] - sheet[:40, :64]).max() <= 1


def test_info_lists_versions_devices_and_models():
    facts = json.loads(CliRunner().invoke(main, ["info", "--json"]).stdout)
    assert facts["versions"]["wct"] == wct.__version__
    assert facts["devices"]
    assert set(facts["models"]) == set(wct.list_models())
    text = CliRunner().invoke(main, ["info"]).stdout
    for section, entries in facts.items():
        assert section in text
        for name, value in entries.items():
            assert name in text
            assert value in text


def test_info_tells_of_a_damaged_model(tmp_path, monkeypatch):
    monkeypatch.setenv("WCT_HOME", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    facts = json.loads(CliRunner().invoke(main, ["info", "--json"]).stdout)
    assert "is damaged" in facts["models"]["broken"]
    assert facts["versions"]["wct"] == wct.__version__


def test_progress_goes_to_a_terminal_on_standard_error(folder, tiny_directory):
    leader, follower = os.openpty()
    arguments = ["photo.jpg", "art.png", "--levels", "1", "--model", str(tiny_directory)]
    process = subprocess.Popen(
        [sys.executable, "-m", "wct", "stylize", *arguments],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal that nobody writes to ends
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    assert process.communicate(timeout=60)[0] == b"photo-art.png\n"
    assert b"100%" in shown
