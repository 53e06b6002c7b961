"""`wct bench` as a user runs it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from wct._cli import main
from wct._weights import Model, save_model


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *arguments])


def test_a_line_for_each_size(tiny_directory, home):
    result = bench("--model", str(tiny_directory), "--sizes", "16,32", "--repeats", "1", "--json")
    assert result.exit_code == 0, result.output
    speeds = [json.loads(line) for line in result.output.splitlines()]
    assert [speed["size"] for speed in speeds] == [16, 32]
    for speed in speeds:
        assert speed["device"] == "cpu"
        assert 0 < speed["stylize_ms"] < 1e3 * speed["cached_s"] < 1e3 * speed["first_s"]
        assert speed["images_per_s"] == pytest.approx(1e3 / speed["stylize_ms"])
        assert 50 < speed["peak_mb"] < 5000
        assert speed["s_per_mpx"] == pytest.approx(1e3 * speed["stylize_ms"] / speed["size"] ** 2)
        assert speed["tile"] is None
    assert not home.exists()


def test_tiles(tiny_directory):
    result = bench("--model", str(tiny_directory), "--sizes", "400", "--tile", "240", "--json")
    assert result.exit_code == 0, result.output
    speed = json.loads(result.output)
    assert speed["tile"] == 240
    assert 0 < speed["stylize_ms"] < 1e3 * speed["cached_s"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vgg18"], "no model 'vgg18'"),
        (["--preset", "quick"], "there is no preset 'quick'"),
        (["--levels", "6"], "there is no level 6"),
        (["--sizes", "0"], "size must be a whole number, at least 1, not 0"),
        (["--memory", "some"], "memory must be a number of bytes"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = bench(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_of_a_model_with_some_levels_those_are_measured(tiny_model, tmp_path):
    decoders = {level: tiny_model.decoders[level] for level in (2, 1)}
    save_model(tmp_path / "model", Model("some", tiny_model.encoder, decoders))
    result = bench(
        "--model", str(tmp_path / "model"), "--sizes", "16", "--repeats", "1", "--levels", "2,1"
    )
    assert result.exit_code == 0, result.output
    title, names, row = result.output.splitlines()
    assert title == f"{tmp_path / 'model'}, 1 at once, cpu"
    ends = [[found.end() for found in re.finditer(r"\S+", line)] for line in (names, row)]
    assert ends[0] == ends[1]
    speed = dict(zip(names.split(), map(float, row.split()), strict=True))
    assert speed["size"] == 16
    assert 0 < speed["cached_s"] <= speed["first_s"]
    assert speed["images_per_s"] == pytest.approx(1e3 / speed["stylize_ms"], rel=0.05)


@pytest.mark.skipif(os.name != "posix", reason="no process groups")
@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_told_to_stop_it_leaves_no_process(tiny_directory, number):
    """A terminal's Ctrl-C is for the whole group."""
    number = signal.Signals[number]
    process = subprocess.Popen(
        [sys.executable, "-m", "wct", "bench", "--model", str(tiny_directory), "--sizes", "16",
         "--repeats", "1000000"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(8)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == (1 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    assert time.monotonic() < deadline
