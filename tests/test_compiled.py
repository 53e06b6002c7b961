"""Compiled programs on disk: a second process compiles nothing, and the user's choice is kept."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from wct._compiled import _drop_oldest

SCRIPT = """
import json, sys
import jax, numpy as np
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
jax.jit(lambda x: x + 1)(np.zeros(3))  # jax has compiled something before
import wct
picture = np.random.default_rng(0).uniform(size=(20, 30, 3))
model = sys.argv[1]
if "loaded" in sys.argv:
    model = wct.Stylizer.from_pretrained(model)
result = wct.stylize(picture, picture[::-1], 1.0, levels=(2,), model=model)
print(json.dumps({
    "hits": events.count("/jax/compilation_cache/cache_hits"),
    "misses": events.count("/jax/compilation_cache/cache_misses"),
    "directory": jax.config.jax_compilation_cache_dir,
    "result": np.asarray(result).tolist(),
}))
"""


@pytest.fixture
def stylize(tiny_directory):
    def run(*arguments, **environment):
        command = [sys.executable, "-c", SCRIPT, str(tiny_directory), *arguments]
        kept = {name: os.environ[name] for name in os.environ if "CACHE" not in name}
        given = kept | {"JAX_PLATFORMS": "cpu"} | environment
        done = subprocess.run(command, env=given, check=True, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    return run


def test_a_second_process_compiles_nothing(stylize, home):
    first, second = stylize(), stylize()
    assert first["directory"] == str(home / "compiled")
    assert first["misses"] > 0
    assert second["misses"] == 0
    assert second["hits"] == first["misses"]
    np.testing.assert_array_equal(first["result"], second["result"])


def test_what_a_stylizer_that_was_loaded_before_compiles_is_kept_too(stylize, home):
    first, second = stylize("loaded"), stylize("loaded")
    assert first["directory"] == str(home / "compiled")
    assert first["misses"] > 0
    assert second["misses"] == 0


def test_damaged_programs_are_compiled_again(stylize, home):
    first = stylize()
    for program in (home / "compiled").glob("*-cache"):
        program.write_bytes(program.read_bytes()[:100])
    np.testing.assert_array_equal(stylize()["result"], first["result"])


def test_the_users_choice_is_kept(stylize, home, tmp_path):
    assert stylize(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))["directory"] == str(
        tmp_path / "mine"
    )
    assert stylize(JAX_ENABLE_COMPILATION_CACHE="false")["directory"] is None
    assert not home.exists()


def test_a_home_that_cannot_be_written_is_no_error(stylize, tmp_path):
    (tmp_path / "file").touch()
    assert stylize(WCT_HOME=str(tmp_path / "file" / "home"))["directory"] is None


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    sizes = {"old": 30, "read": 20, "new": 10}
    for age, (name, size) in enumerate(sizes.items()):
        (tmp_path / name).write_bytes(bytes(size))
        os.utime(tmp_path / name, (age, age))
    os.utime(tmp_path / "read", (9, 0))  # written before all others, read after them
    for limit, kept in ((60, {"old", "read", "new"}), (59, {"read", "new"}), (29, {"read"}),
                        (19, set())):  # fmt: skip
        _drop_oldest(tmp_path, limit)
        assert {path.name for path in tmp_path.iterdir()} == kept
