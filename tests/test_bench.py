"""`wct bench` as a user runs it."""

import json

import pytest
from click.testing import CliRunner

from wct._cli import main


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
        (["--sizes", "0"], "size must be at least 1, not 0"),
        (["--memory", "some"], "memory must be a number of bytes"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = bench(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1
