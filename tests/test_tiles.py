"""Pictures in tiles: what is whole, in parts, comes out the same."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture, run_on_devices
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import wct
from wct import _memory, _styles, _texture
from wct._errors import ImageError, WctError
from wct._layers import layer_names, stride
from wct._memory import choose_tile, left_by, read_memory
from wct._recipe import Recipe
from wct._scratch import Scratch
from wct._tiled import measure_tiles, repaint_tiles
from wct._tiles import (
    Span,
    bands,
    cut,
    full_halo,
    halo,
    lead,
    own_cells,
    reach,
    smallest_cover,
    smallest_tile,
    spans,
)
from wct._walk import Walk

LEVELS = (5, 4, 3, 2, 1)
WITHIN = 2e-3

# Small pictures, small tiles: of all levels they are 240 pixels large.
SMALL, SMALL_TILE, SMALL_LEVELS = (137, 171), 96, (3, 2, 1)
LARGE, LARGE_TILE = (373, 501), 240


def tiled(stylizer, content, style, recipe, tile, masks=None):
    """The result, unclipped, put together; every pixel once."""
    result = np.full(content.shape, np.nan, np.float32)

    def paste(part, area):
        assert np.isnan(result[area]).all()
        result[area] = part

    repaint_tiles(
        stylizer, content, style, recipe, tile=tile, scratch=Scratch(), paste=paste, masks=masks
    )
    return result


def whole(stylizer, content, style, recipe):
    *_, result = stylizer.steps(jnp.asarray(content)[None], style, recipe)
    return np.asarray(result[0])


axes = given(
    length=st.integers(1, 5000),
    more=st.integers(1, 60).map(lambda cells: 16 * cells),
    halo=st.integers(1, 12).map(lambda cells: 16 * cells),
)


@axes
def test_spans_cover_an_axis(length, more, halo):
    tile = 2 * halo + more
    canvas = -(-length // 16) * 16
    found = spans(length, tile, halo)
    assert found[0].first == 0
    assert found[-1].last == canvas
    for span in found:
        assert span.stop - span.start == min(tile, canvas)
        assert span.start % 16 == 0
        assert 0 <= span.start <= span.first < span.last <= span.stop <= canvas
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == canvas or span.stop - span.last >= halo
    for one, other in pairwise(found):
        assert one.last == other.first


@axes
def test_tiles_that_fit_are_as_few_and_smaller(length, more, halo):
    most = 2 * halo + more
    count = len(spans(length, most, halo))
    found = smallest_cover(length, most, halo)
    assert found <= most
    assert found % 16 == 0 or found == most
    assert len(spans(length, found, halo)) == count
    if found > 2 * halo + 16:  # 16 pixels less do not do
        canvas = -(-length // 16) * 16
        assert count * (found - 16) - (count - 1) * 2 * halo < canvas


@given(st.integers(1, 5000), st.integers(1, 40), st.integers(0, 80), st.integers(0, 80))
def test_bands_come_to_all_rows(length, cells, ahead, behind):
    """What comes of them lies higher; put back there, each row is one band's own."""
    found = bands(length, 16 * cells, -ahead, behind)
    made = [band - behind for span in found for band in range(span.start, span.stop)]
    assert made == list(range(-ahead - behind, made[-1] + 1))
    assert -(-length // 16) * 16 - 1 in made
    own = [row for span in found for row in range(span.first, span.last)]
    assert own == list(range(-(-length // 16) * 16))


@pytest.mark.parametrize("level", LEVELS)
def test_bands_start_where_every_layer_halves_pairs(level):
    row = lead(level)
    for name in layer_names(level):
        if name.endswith("_1") and name != "conv1_1":
            assert row % 2 == 0
            row //= 2
        row -= 1
    assert row * stride(level) == lead(level) - reach(level) == -halo(level)


@pytest.mark.parametrize(("height", "width"), [(4000, 6000), (9999, 5999), (3000, 5700)])
def test_all_bands_have_one_shape(height, width):
    walk = Walk((height, width), 1024)
    for level in LEVELS:
        for places in (walk.measured(level), walk.painted(level)):
            [places] = places
            shapes = {
                (place.rows.stop - place.rows.start, column.stop - column.start)
                for place in places
                for column in place.columns
            }
            assert shapes == {(128, 6144)}


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_beyond_the_halo_matters(tiny, level):
    """And less than 16 pixels within it, something does."""
    depth = full_halo(level)
    size = 2 * depth + 64
    content = picture(size, 16, level)
    changed = content.copy()
    changed[: size // 2] = 1 - changed[: size // 2]
    decoder = tiny.decoders[f"decoder{level}"]

    @jax.jit
    def run(image):
        features = tiny.encoder.encode(image[None], level)
        return features[0], decoder(features)[0]

    pairs = list(zip(run(jnp.asarray(content)), run(jnp.asarray(changed)), strict=True))
    for (one, other), distance in zip(pairs, (halo(level), depth), strict=True):
        rows = np.abs(np.asarray(one) - np.asarray(other)).max((1, 2))
        beyond = (size // 2 + distance) * len(rows) // size
        assert rows[beyond:].max() < 1e-6
        assert rows[beyond - 16 * len(rows) // size - 1 : beyond].max() >= 0
        assert rows[: size // 2 * len(rows) // size].max() > 1e-3


@pytest.mark.parametrize("level", LEVELS)
def test_own_cells_count_every_pixel_once(level):
    size = (131, 77)
    total = 0
    for rows in spans(size[0], 80, 16):
        for columns in spans(size[1], 80, 16):
            total += own_cells(rows, columns, size, level).sum()
    assert total * 4 ** (level - 1) == pytest.approx(size[0] * size[1])


def test_cut_goes_on_by_reflection():
    content = picture(69, 53, 0)
    whole = np.pad(content, ((0, 11), (0, 11), (0, 0)), mode="reflect")
    for rows in spans(69, 48, 16):
        for columns in spans(53, 48, 16):
            wanted = whole[rows.start : rows.stop, columns.start : columns.stop]
            np.testing.assert_array_equal(cut(content, rows, columns), wanted)
    beyond = np.pad(content, ((70, 140), (0, 75), (0, 0)), mode="reflect")
    found = cut(content, Span(-70, 209, 0, 69), Span(0, 128, 0, 53))
    np.testing.assert_array_equal(found, beyond)
    eight_bits = np.uint8(255 * content)
    rows, columns = spans(69, 48, 16)[0], spans(53, 48, 16)[0]
    np.testing.assert_allclose(cut(eight_bits, rows, columns), eight_bits[:48, :48] / 255)


@pytest.mark.parametrize(
    ("size", "tile", "recipe"),
    [
        (SMALL, SMALL_TILE, Recipe(1.0)),
        (SMALL, SMALL_TILE, Recipe(0.6, 0.5, transform="ot")),
        ((97, 97), SMALL_TILE, Recipe(1.0)),
        ((400, 33), SMALL_TILE, Recipe(0.6)),
        *(((70, width), 112, Recipe(1.0)) for width in (270, 288)),  # one column, of 288
    ],
)
def test_tiles_of_few_levels(tiny, size, tile, recipe):
    recipe = replace(recipe, levels=SMALL_LEVELS)
    content, style = picture(*size, 1), tiny.read_style(picture(64, 80, 2))
    wanted = whole(tiny, content, style, recipe)
    found = tiled(tiny, content, style, recipe, tile)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=WITHIN)
    assert np.abs(wanted - content).mean() > 0.01


@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_tiles_of_all_levels(tiny, preset):
    recipe = Recipe.preset(preset)
    content, style = picture(*LARGE, 1), tiny.read_style(picture(64, 80, 2))
    wanted = whole(tiny, content, style, recipe)
    found = tiled(tiny, content, style, recipe, LARGE_TILE)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=WITHIN)


def test_no_levels_in_tiles_change_nothing(tiny):
    content = np.uint8(255 * picture(*SMALL, 1))
    found = wct.stylize(content, content, levels=(), model=tiny, tile=SMALL_TILE)
    np.testing.assert_array_equal(found, content)


def options():
    """What users may ask for besides: each of these changes the result."""
    height, width = SMALL
    left = np.zeros(SMALL, np.float32)
    left[:, : width // 2] = 1
    left[: height // 3] = 0.3
    style = np.uint8(255 * picture(64, 80, 2))
    other = np.uint8(255 * picture(70, 60, 3))
    return {
        "masks": (
            [style, other],
            {"masks": [left, np.clip(1.2 - left, 0, 1)], "feather": 12.0, "alpha": (0.9, 0.5, 1.0)},
        ),
        "part covered": ([style], {"masks": [left]}),
        "mixed": ([style, other], {"weights": (0.3, 0.7)}),
        "luminance": (style, {"colors": "luminance"}),
        "matched": (style, {"colors": "matched"}),
        "resized": (style, {"size": 250}),
        "newton-schulz": (style, {"solver": "newton-schulz"}),
    }


@pytest.mark.parametrize("name", options())
def test_whatever_is_asked_for(tiny, name):
    kind = np.float32 if name in ("masks", "mixed", "luminance", "matched") else np.uint8
    style, asked = options()[name]
    content = picture(*SMALL, 1)
    content = np.uint8(255 * content) if kind == np.uint8 else content
    run = partial(wct.stylize, content, style, levels=SMALL_LEVELS, model=tiny, **asked)
    wanted, found = run(), run(tile=SMALL_TILE)
    assert found.dtype == wanted.dtype == kind
    within = 1 if kind == np.uint8 else WITHIN
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=0, atol=within)


def test_transparency_in_tiles(tiny):
    content = np.dstack([picture(*SMALL, 1), np.linspace(0, 1, SMALL[1])[None].repeat(SMALL[0], 0)])
    content = Image.fromarray(np.uint8(255 * content))
    run = partial(wct.stylize, content, picture(64, 80, 2), levels=SMALL_LEVELS, model=tiny)
    wanted, found = np.int16(run()), np.int16(run(tile=SMALL_TILE))
    assert found.shape == (*SMALL, 4)
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("masked", [False, True])
def test_a_style_in_tiles(tiny, masked):
    painting = picture(*LARGE, 2)
    mask = np.tri(*LARGE, 60, dtype=np.float32) if masked else None
    wanted = tiny.read_style(painting, mask)
    found = measure_tiles(tiny, painting, mask, tile=192)
    assert found.model == wanted.model
    for one, other in zip(found.levels, wanted.levels, strict=True):
        scale = np.abs(other.covariance).max()
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-6)
        assert one.residue is None


def test_a_large_style_is_read_in_tiles(tiny, monkeypatch):
    painting = picture(*LARGE, 2)
    wanted = tiny.read_style(painting)
    monkeypatch.setattr(_memory, "_PROGRAM", 0.0)
    memory = _memory._needed(_memory._TILE, 250 * 250, tiny.encoder.widths) + 14 * painting.size / 3
    found = wct.read_style(painting, style_size=1000, memory=memory, model=tiny)
    scale = np.abs(wanted.levels[4].covariance).max()
    np.testing.assert_allclose(
        found.levels[4].covariance, wanted.levels[4].covariance, rtol=0, atol=1e-6 * scale
    )


@pytest.mark.parametrize(("tile", "left"), [(None, 1e9 - 14 * 64 * 80), (96, 1e9)])
def test_a_style_has_the_memory_that_the_picture_leaves(tiny, monkeypatch, tile, left):
    """Unless the user says how large tiles are."""
    budgets = []
    monkeypatch.setattr(
        _styles, "choose_tile", lambda *each: budgets.append(each[3]) or choose_tile(*each)
    )
    content, painting = picture(64, 80, 1), picture(64, 80, 2)
    wct.stylize(content, painting, memory=1e9, tile=tile, levels=(2, 1), model=tiny)
    assert budgets == [left]


def test_a_large_texture_is_made_in_tiles(tiny, monkeypatch):
    run = partial(wct.texture, picture(64, 80, 2), SMALL, levels=(2, 1), passes=2, model=tiny)
    wanted = np.int16(run())
    monkeypatch.setattr(_memory, "_PROGRAM", 0.0)
    monkeypatch.setattr(_memory, "_MOST", SMALL_TILE)
    held = _texture._HELD * 144 * 176
    memory = _memory._needed(_memory._TILE, 97 * 97, tiny.encoder.widths) + held
    found = np.int16(run(memory=memory))
    assert np.abs(found - wanted).max() <= 1


DEVICES = """
import sys
import jax
import numpy as np
import wct
model, style, source, target = sys.argv[1:]
assert jax.local_device_count() == 2
np.save(target, wct.stylize(np.load(source), np.load(style), model=model, levels=(3, 2), tile=56))
"""


def test_tiles_on_two_devices(tiny_directory, tmp_path):
    """Of three columns, so that one device has none to do at the end."""
    content, painting = picture(*SMALL, 1), picture(64, 80, 2)
    wanted = wct.stylize(content, painting, model=tiny_directory, levels=(3, 2), tile=56)
    paths = [str(tmp_path / f"{name}.npy") for name in ("style", "content", "result")]
    np.save(paths[0], painting)
    np.save(paths[1], content)
    run_on_devices(DEVICES, tiny_directory, *paths)
    np.testing.assert_allclose(np.load(paths[2]), wanted, rtol=0, atol=1e-4)


SLOWLY = """
import time
from wct.__main__ import main
from wct._scratch import Scratch
write = Scratch.write
def slowly(*arguments):
    print("working", flush=True)
    time.sleep(0.2)
    write(*arguments)
Scratch.write = slowly
main()
"""


class StoppedError(Exception):
    pass


def test_what_was_interrupted_goes_on(tiny, tmp_path):
    content, painting = np.uint8(255 * picture(*SMALL, 1)), picture(64, 80, 2)
    folder = tmp_path / "scratch"
    run = partial(wct.stylize, content, painting, model=tiny, levels=SMALL_LEVELS, tile=SMALL_TILE)
    shares = []
    wanted = run(progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1

    def interrupt(share):
        if share > 0.8:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(scratch=folder, progress=interrupt)
    [kept] = folder.iterdir()
    assert {file.name for file in kept.iterdir()} - {"lock"} == {"picture-2"}  # of three
    again = []
    found = run(scratch=folder, progress=again.append)
    np.testing.assert_array_equal(found, wanted)
    assert again[-1] == 1
    assert len(again) < len(shares) / 2
    assert not list(folder.iterdir())


@pytest.fixture
def open_files_stay(monkeypatch):
    """Have nothing that is open or mapped removed or renamed, as on Windows."""

    def in_use():
        found = set(Path("/proc/self/maps").read_text().split())
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # that of the folder itself
                found.add(str(descriptor.readlink()))
        return found

    def careful(function):
        def call(path, *others, dir_fd=None):
            folder = Path() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink()
            if str((folder / path).resolve()) in in_use():
                raise PermissionError(13, "it is in use", path)
            return function(path, *others, **({} if dir_fd is None else {"dir_fd": dir_fd}))

        return call

    for name in ("unlink", "rename", "replace"):
        monkeypatch.setattr(os, name, careful(getattr(os, name)))
    monkeypatch.setattr("tempfile.TemporaryFile", tempfile.NamedTemporaryFile)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is open")
def test_checkpoints_where_what_is_open_stays(tiny, tmp_path, open_files_stay):
    content, painting = np.uint8(255 * picture(*SMALL, 1)), picture(64, 80, 2)
    masks = [np.tile(np.linspace(0, 1, SMALL[1], dtype=np.float32), (SMALL[0], 1))]
    options = {"masks": masks, "model": tiny, "levels": SMALL_LEVELS, "tile": SMALL_TILE}
    run = partial(wct.stylize, content, [painting], scratch=tmp_path, **options)

    def interrupt(share):
        if share > 0.8:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(progress=interrupt)
    gc.collect()
    [folder] = tmp_path.iterdir()
    assert {file.name for file in folder.iterdir()} - {"lock"} == {"picture-2"}
    shares = []
    found = run(progress=shares.append)
    assert shares[0] > 0.5
    np.testing.assert_array_equal(found, wct.stylize(content, [painting], **options))
    gc.collect()
    assert {file.name for file in folder.iterdir()} <= {"lock"}


def test_what_could_not_be_written_goes_on(tiny, tmp_path):
    content, painting = np.uint8(255 * picture(*SMALL, 1)), picture(64, 80, 2)
    folder, target = tmp_path / "scratch", tmp_path / "there" / "result.png"
    run = partial(
        wct.stylize, content, painting, model=tiny, levels=SMALL_LEVELS, tile=SMALL_TILE,
        scratch=folder, output=target,
    )  # fmt: skip

    def remove(share):
        if share == 1:
            target.parent.rmdir()

    target.parent.mkdir()
    with pytest.raises(ImageError, match="cannot write"):
        run(progress=remove)
    target.parent.mkdir()
    shares = []
    run(progress=shares.append)
    assert shares[0] > 0.5
    wanted = wct.stylize(content, painting, model=tiny, levels=SMALL_LEVELS, tile=SMALL_TILE)
    np.testing.assert_array_equal(np.asarray(Image.open(target)), wanted)
    assert not list(folder.iterdir())


def test_other_pictures_do_not_go_on_from_it(tiny, tmp_path):
    content, painting = picture(*SMALL, 1), picture(64, 80, 2)

    def interrupt(share):
        if share > 0.8:
            raise StoppedError

    run = partial(wct.stylize, style=painting, model=tiny, levels=SMALL_LEVELS, tile=SMALL_TILE)
    with pytest.raises(StoppedError):
        run(content, scratch=tmp_path / "scratch", progress=interrupt)
    for other, alpha in ((content[::-1], None), (content, 0.5)):
        wanted = run(other, alpha=alpha)
        found = run(other, alpha=alpha, scratch=tmp_path / "scratch")
        np.testing.assert_array_equal(found, wanted)
    assert len(list((tmp_path / "scratch").iterdir())) == 1


def test_one_process_a_picture(tiny, tmp_path):
    content, painting = picture(*SMALL, 1), picture(64, 80, 2)
    run = partial(
        wct.stylize, content, painting, model=tiny, levels=(2, 1), tile=SMALL_TILE, scratch=tmp_path
    )

    def start_another(share):
        with pytest.raises(WctError, match="another process is at this picture"):
            run()

    run(progress=start_another)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kept", [False, True])
def test_signals_leave_nothing_unfinished(tiny_directory, tmp_path, number, kept):
    Image.fromarray(np.uint8(255 * picture(600, 600, 1))).save(tmp_path / "photo.png")
    Image.fromarray(np.uint8(255 * picture(64, 80, 2))).save(tmp_path / "art.png")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    scratch = tmp_path / "scratch"
    arguments = ["photo.png", "art.png", "--levels", "2,1", "--tile", "48"]
    arguments += ["--model", str(tiny_directory), *(["--scratch", str(scratch)] if kept else [])]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "stylize", *arguments],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else 1)
    assert b"Traceback" not in errors
    assert not list(temporary.iterdir())
    assert {path.name for path in scratch.rglob("*") if path.is_file()} <= {"lock"}
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"photo.png", "art.png"}


def test_a_full_disk_is_one_line(tiny, monkeypatch):
    def refuse(file, offset, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    content = picture(*SMALL, 1)
    with pytest.raises(WctError, match=r"no room for .* in .* \(No space left on device\): choose"):
        wct.stylize(content, content, model=tiny, levels=(2, 1), tile=SMALL_TILE)


def test_a_directory_that_cannot_be_used(tiny, tmp_path):
    (tmp_path / "file").touch()
    content = picture(*SMALL, 1)
    with pytest.raises(WctError, match=r"cannot make the folder .*file"):
        wct.stylize(content, content, model=tiny, tile=240, scratch=tmp_path / "file", size=400)


@pytest.mark.parametrize("tile", [None, SMALL_TILE])
def test_out_of_memory_is_one_line(tiny, monkeypatch, tile, exhaust):
    monkeypatch.setattr("wct._chain._repaint", exhaust)
    monkeypatch.setattr("wct._passes._paint", exhaust)
    content = picture(*SMALL, 1)
    with pytest.raises(WctError, match=r"out of memory: .*--memory"):
        wct.stylize(content, content, model=tiny, levels=(2,), tile=tile)


def test_other_errors_are_not_taken_for_it(tiny, monkeypatch):
    monkeypatch.setattr("wct._chain._repaint", lambda *_, **__: 1 / 0)
    content = picture(*SMALL, 1)
    with pytest.raises(ZeroDivisionError):
        wct.stylize(content, content, model=tiny, levels=(2,))


@pytest.mark.parametrize(
    ("text", "number"),
    [("3GB", 3e9), ("1.5 gb", 1.5e9), ("800MB", 8e8), ("64k", 64e3), ("1024", 1024), (5.0, 5)],
)
def test_memory_is_read(text, number):
    assert read_memory(text) == number


@pytest.mark.parametrize("text", ["", "much", "-3GB", "3 apples", 0, -1.0, float("nan")])
def test_no_memory(text):
    with pytest.raises(WctError, match="memory must be a number of bytes, or such as 3GB"):
        read_memory(text)


LITE = (16, 32, 64, 128, 128)


def test_tiles_are_chosen_by_the_budget():
    lite, vgg = LITE, (64, 128, 256, 512, 512)
    choose = partial(choose_tile, levels=LEVELS, tile=None)
    assert choose((2000, 2000), lite, budget=3e9) is None
    # Of 1 GB, 0.53 are the program's and 14 bytes a pixel the picture's; 848 a band's pixel.
    assert choose((4000, 4000), lite, budget=1e9) == 528
    assert choose((8000, 8000), lite, budget=3e9) == 1024
    sides = [choose((4000, 4000), vgg, budget=budget) for budget in (1.2e9, 2e9, 3e9, 6e9)]
    assert sides == sorted(sides)
    assert len(set(sides)) > 2
    assert choose((4000, 4000), vgg, budget=40e9) is None
    assert choose((1900, 1900), lite, budget=3e9, masks=2) is None
    assert choose((1900, 1900), lite, budget=3e9, masks=3) is not None
    with pytest.raises(WctError, match=r"4000 wide and 4000 high needs 0\.84 GB .* 0\.50 GB are"):
        choose((4000, 4000), vgg, budget=0.5e9)


@pytest.mark.parametrize("masks", [0, 1, 2])
def test_masks_take_memory_too(masks):
    size, budget = (4000, 4000), 1.5e9
    side = choose_tile(size, LITE, LEVELS, budget, masks=masks)
    left = budget - 16e6 * (14 + 16 * masks)
    assert 848 * side**2 <= left - 0.53e9 < 848 * (side + 16) ** 2
    assert left_by(size, budget, None, 14, masks) == left
    assert left_by(size, budget, 240, 14, masks) == budget


def test_the_least_tile_is_taken_where_it_just_fits():
    needed = 0.53e9 + 848 * 176**2 + 14 * 16e6
    assert choose_tile((4000, 4000), LITE, LEVELS, needed + 1) == 176
    with pytest.raises(WctError, match="needs"):
        choose_tile((4000, 4000), LITE, LEVELS, needed - 1)


@pytest.mark.parametrize(("side", "canvas"), [(2048, 2048), (2049, 2304)])
def test_a_whole_picture_takes_the_memory_of_its_canvas(side, canvas):
    needed = 0.53e9 + canvas**2 * (180 + 24 * 16)
    assert choose_tile((side, side), LITE, LEVELS, needed + 1) is None
    assert choose_tile((side, side), LITE, LEVELS, needed - 1e6) is not None


@pytest.mark.parametrize("tile", [0, 8, 160, 175])
def test_tiles_that_are_none(tile):
    with pytest.raises(WctError, match=f"at least 176 for these levels, not {tile}"):
        choose_tile((4000, 4000), (4,) * 5, LEVELS, 1e9, tile)


def test_the_least_tile():
    assert choose_tile((4000, 4000), (4,) * 5, LEVELS, 1e9, smallest_tile(5)) == 176


@pytest.mark.parametrize(
    ("size", "wanted"), [((200, 301), 300), ((301, 200), 300), ((300, 200), None)]
)
def test_a_tile_that_holds_all_is_none(size, wanted):
    assert choose_tile(size, (4,) * 5, LEVELS, 1e9, 300) == wanted


@pytest.mark.parametrize("asked", [{"refine": 1}, {"swap": (2,)}])
def test_what_needs_the_whole_picture_says_so(tiny, asked):
    content = picture(*SMALL, 1)
    with pytest.raises(WctError, match="works on whole pictures: give a smaller size, no tile"):
        wct.stylize(content, content, model=tiny, levels=(2, 1), tile=SMALL_TILE, **asked)


def test_large_files_are_read_knowingly(tiny, tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(np.uint8(255 * picture(40, 50, 1))).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    run = partial(wct.stylize, path, picture(64, 80, 2), model=tiny, levels=(1,))
    with pytest.raises(ImageError, match=r"more than 900 pixels.*allow_large"):
        run()
    assert run(allow_large=True).size == (50, 40)
    with pytest.raises(ImageError, match=r"more than 900 pixels.*allow_large"):
        wct.read_style(path, model=tiny)
    assert wct.read_style(path, model=tiny, allow_large=True).levels[0].weight == 2000
    assert (
        wct.stylize(picture(20, 20, 1), path, model=tiny, levels=(1,), allow_large=True) is not None
    )
    assert Image.MAX_IMAGE_PIXELS == 900
