"""Data sets of tiny pictures, by the tiny model."""

import errno
import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import picture
from PIL import Image

import wct
from wct._cli import main
from wct._dataset import DatasetReport, stylize_dataset
from wct._errors import ImageError, WctError
from wct._files import write_file
from wct._image import Picture
from wct._local import Job, grouped, paint, repaint_here
from wct._painter import Painter
from wct._tasks import Task

OPTIONS = {"alpha": (0.3, 1.0), "levels": (2, 1)}
SIZES = [(32, 40), (25, 33), (32, 40)]


@pytest.fixture
def folders(tmp_path):
    """Six pictures in two classes, three styles, and where results go."""
    content, styles = tmp_path / "content", tmp_path / "styles"
    for index in range(6):
        path = content / f"class{index % 2}" / f"{index}.{'JPG' if index % 3 else 'png'}"
        save(path, SIZES[index % 3], index)
    for index in range(3):
        save(styles / "by name" / f"style{index}.png", (30, 30), 10 + index)
    return content, styles, tmp_path / "out"


def save(path, size, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(255 * picture(*size, seed))).save(path)


def records(out):
    lines = [path.read_text().splitlines() for path in sorted(out.glob("manifest*.jsonl"))]
    return [json.loads(line) for each in lines for line in each]


def results(out):
    """The bytes of all pictures, by their paths."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.png")}


def test_each_result_is_what_stylize_makes(folders, tiny):
    content, styles, out = folders
    seen = []
    report = stylize_dataset(
        *folders,
        model=tiny,
        progress=lambda now: seen.append((now.styles, now.done, now.total)),
        **OPTIONS,
    )
    assert (report.styles, report.done, report.found, report.failed) == (3, 6, 0, {})
    assert seen[:3] == [(count, 0, 0) for count in (1, 2, 3)]
    assert seen[3:] == [(3, count, 6) for count in range(1, 7)]
    assert 0 <= report.waiting < 1
    assert report.images_per_s > 0
    assert sorted(results(out)) == [f"class{i % 2}/{i}.png" for i in (0, 2, 4, 1, 3, 5)]
    for record in records(out):
        path, [style] = out / record["output"], record["styles"]
        assert record["output"] == record["content"].rpartition(".")[0] + ".png"
        assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert record["model"] == tiny.mark
        assert record["seconds"] > 0
        wanted = wct.stylize(
            content / record["content"], styles / style, record["alpha"],
            levels=(2, 1), model=tiny,
        )  # fmt: skip
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(wanted))
    assert len({record["alpha"] for record in records(out)}) == 6


def test_the_share_of_waiting():
    report = DatasetReport(done=8, seconds=10.0, painting=4.0, painters=2)
    assert report.waiting == pytest.approx(0.8)
    assert report.images_per_s == pytest.approx(0.8)
    assert (DatasetReport().waiting, DatasetReport().images_per_s) == (0, 0)


def test_transparency_stays(folders, tiny):
    content, _, out = folders
    image = Image.open(content / "class0/0.png").convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(content / "class0/0.png")
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    found, wanted = (np.asarray(each)[..., 3] for each in (Image.open(out / "class0/0.png"), image))
    np.testing.assert_array_equal(found, wanted)


def test_strength_of_the_preset(folders, tiny):
    content, styles, out = folders
    stylize_dataset(*folders, model=tiny, preset="faithful", detail=0.5, levels=(3, 2))
    record = records(out)[0]
    assert "alpha" not in record
    wanted = wct.stylize(
        content / record["content"], styles / record["styles"][0],
        preset="faithful", detail=0.5, levels=(3, 2), model=tiny,
    )  # fmt: skip
    found = Image.open(out / record["output"])
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_labels_come_along(folders, tiny):
    content, _, out = folders
    labels = {"class0/0.json": b"{}", "class1/1_mask.png": None, "notes.txt": b"\xff\x00"}
    for name, data in labels.items():
        save(content / name, (5, 5), 0) if data is None else (content / name).write_bytes(data)
    report = stylize_dataset(
        *folders, model=tiny, sidecars=["*_mask.png"], styles_per_image=2, **OPTIONS
    )
    assert report.done == 12
    assert report.copied == {".json": 2, ".png": 2, ".txt": 1}
    copies = {
        "class0/0-1.json": "class0/0.json",
        "class0/0-2.json": "class0/0.json",
        "class1/1-1_mask.png": "class1/1_mask.png",
        "class1/1-2_mask.png": "class1/1_mask.png",
        "notes.txt": "notes.txt",
    }
    for copy, origin in copies.items():
        assert (out / copy).read_bytes() == (content / origin).read_bytes()
    assert len(results(out)) == 12 + 2


def test_labels_that_are_there_stay_as_they_are(folders, tiny):
    content, _, out = folders
    (content / "a.txt").write_text("a")
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    (out / "a.txt").write_text("mine")
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert (out / "a.txt").read_text() == "mine"


def test_what_was_stopped_goes_on(folders, tiny):
    content, styles, out = folders
    stylize_dataset(content, styles, out.with_name("whole"), model=tiny, **OPTIONS)

    def stop(report):
        if report.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_dataset(*folders, model=tiny, progress=stop, **OPTIONS)
    assert len(records(out)) == 2
    report = stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert (report.done, report.found, report.total) == (4, 2, 4)
    assert results(out) == results(out.with_name("whole"))
    assert len({record["output"] for record in records(out)}) == len(records(out)) == 6
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).done == 0
    assert len(records(out)) == 6


@pytest.mark.parametrize(("shard", "kept"), [((1, 2), True), (None, False)])
def test_only_the_whole_tidies_up(folders, tiny, shard, kept):
    """Of a part, what is half written may be another part's."""
    half = folders[2] / "class0/.wct-0123.tmp"

    def stop(report):
        half.parent.mkdir(exist_ok=True)
        half.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_dataset(*folders, model=tiny, progress=stop, **OPTIONS)
    stylize_dataset(*folders, model=tiny, shard=shard, **OPTIONS)
    assert half.exists() == kept


def test_what_is_lost_is_made_again(folders, tiny):
    *_, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    before = results(out)
    (out / "class0/2.png").unlink()
    (out / "class1/3.png").write_bytes(b"")
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).done == 2
    assert results(out) == before


def test_a_result_without_a_record_is_made_again(folders, tiny):
    """As when the process was killed after the one and before the other."""
    content, styles, out = folders
    whole = out.with_name("whole")
    stylize_dataset(content, styles, whole, model=tiny, **OPTIONS)
    stylize_dataset(*folders, model=tiny, shard=(1, 2), **OPTIONS)
    for name in results(whole).keys() - results(out).keys():
        (out / name).write_bytes(b"something else")
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).done == 3
    assert results(out) == results(whole)


def test_shards_together_are_the_whole(folders, tiny):
    content, styles, out = folders
    (content / "class0/notes.txt").write_text("x")
    stylize_dataset(content, styles, out.with_name("whole"), model=tiny, **OPTIONS)
    done = [
        stylize_dataset(*folders, model=tiny, shard=(part, 4), **OPTIONS).done
        for part in (3, 1, 4, 2)
    ]
    assert sorted(done) == [1, 1, 2, 2]
    assert results(out) == results(out.with_name("whole"))
    assert (out / "class0/notes.txt").exists()
    assert len(records(out)) == 6
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).found == 6  # in other parts, too


def test_parts_are_done_at_once(folders, tiny):
    run, reports = partial(stylize_dataset, *folders, model=tiny, **OPTIONS), []

    def start_another(report):
        if report.done == 1:
            reports.append(run(shard=(2, 2)))

    reports.append(run(shard=(1, 2), progress=start_another))
    assert [(report.done, report.found) for report in reports] == [(3, 0), (3, 0)]
    again = run(shard=(2, 2))
    assert (again.done, again.found, again.total) == (0, 3, 0)
    assert len(results(folders[2])) == 6


def test_another_part_may_write_the_settings_first(folders, tiny, monkeypatch):
    def write_twice(data, path, *, overwrite):
        for _ in range(2):
            write_file(data, path, overwrite=overwrite)

    monkeypatch.setattr("wct._dataset.write_file", write_twice)
    assert stylize_dataset(*folders, model=tiny, shard=(1, 2), **OPTIONS).done == 3


def test_other_seeds_give_other_pictures(folders, tiny):
    content, styles, out = folders
    made = []
    for seed in (0, 1):
        stylize_dataset(content, styles, out / str(seed), model=tiny, seed=seed, **OPTIONS)
        made.append(results(out / str(seed)))
    assert all(made[0][name] != made[1][name] for name in made[0])


def test_styles_are_measured_once(folders, tiny, monkeypatch):
    content, _, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    again = out.with_name("again")
    monkeypatch.setattr("wct._styles.StyleReader.read", None)
    report = stylize_dataset(content, out / "styles.safetensors", again, model=tiny, **OPTIONS)
    assert report.done == 6
    assert results(again) == results(out)
    assert records(again)[0]["styles"][0].startswith("styles.safetensors#")


def test_one_style_that_was_measured_will_do(folders, tiny):
    content, _, out = folders
    path = out.with_name("one.safetensors")
    tiny.read_style(picture(30, 30, 10)).save(path)
    assert stylize_dataset(content, path, out, model=tiny, levels=(1,)).done == 6
    [record, *_] = records(out)
    assert record["styles"] == ["one.safetensors#0"]
    wanted = wct.stylize(content / record["content"], path, levels=(1,), model=tiny)
    np.testing.assert_array_equal(Image.open(out / record["output"]), wanted)


def test_styles_of_another_model(folders, tiny, monkeypatch):
    content, _, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    monkeypatch.setattr(tiny, "mark", "other")
    with pytest.raises(WctError, match="were measured by 'tiny', but the model is 'other'"):
        stylize_dataset(content, out / "styles.safetensors", out.with_name("again"), model=tiny)


def test_styles_of_other_pictures(folders, tiny):
    *_, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    kept = out / "styles.safetensors"
    fewer = jax.tree.map(lambda values: values[:2], wct.Style.load(kept))
    fewer.save(kept, overwrite=True)
    with pytest.raises(WctError, match=r"styles\.safetensors has 2 styles, but .*styles 3: delete"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)


def test_unreadable_pictures_are_told(folders, tiny):
    content, _, out = folders
    (content / "class1/1.JPG").write_bytes(b"no picture")
    report = stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert report.done == 5
    assert list(report.failed) == ["class1/1.JPG"]
    [failure] = [record for record in records(out) if "error" in record]
    assert "class1/1.JPG" in failure["error"]
    save(content / "class1/1.JPG", SIZES[1], 1)
    report = stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert (report.done, report.failed) == (1, {})


def test_a_picture_that_vanishes_is_a_stop(folders, tiny, monkeypatch):
    content, _, out = folders
    monkeypatch.setattr("wct._local._AHEAD", 1)
    lost = content / "class1/5.JPG"
    with pytest.raises(WctError, match=r"5\.JPG is gone since the work began"):
        stylize_dataset(
            *folders,
            model=tiny,
            progress=lambda now: now.done and lost.unlink(missing_ok=True),
            **OPTIONS,
        )
    save(lost, SIZES[2], 5)
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert len(results(out)) == 6


def test_a_full_disk_is_a_stop(folders, tiny, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        if len(results(folders[2])) == 3 and path.suffix == ".tmp":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ImageError, match=r"class\d/\d.png: No space left on device"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)
    monkeypatch.undo()
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    assert len(results(folders[2])) == 6


def test_an_output_that_cannot_be_made(folders, tiny):
    content, styles, out = folders
    out.write_text("a file")
    with pytest.raises(WctError, match="cannot make the folder"):
        stylize_dataset(content, styles, out / "below", model=tiny)


@pytest.mark.parametrize("at", range(3))
def test_names_that_cannot_be(folders, tiny, at):
    named = [*folders]
    named[at] = folders[at].with_name(300 * "a")
    with pytest.raises(WctError, match=r"there is no folder|cannot make the folder"):
        stylize_dataset(*named, model=tiny)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, r"was begun with other settings \(seed\)"),
        ({"alpha": 0.5, "format": "jpg"}, r"was begun with other settings \(alpha, suffix\)"),
        ({"preset": "paper"}, r"was begun with other settings \(recipe\)"),
        ({"sidecars": ["*_mask.png"]}, r"was begun with other settings \(sidecars\)"),
        ({"style_size": 256}, r"was begun with other settings \(style_size\)"),
        ({"styles_per_image": 2}, r"was begun with other settings \(styles_per_image\)"),
    ],
)
def test_other_settings_need_another_folder(folders, tiny, options, words):
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    with pytest.raises(WctError, match=words):
        stylize_dataset(*folders, model=tiny, **(OPTIONS | options))


def test_the_order_of_sidecars_does_not_matter(folders, tiny):
    patterns = ["*_mask.png", "*_depth.png"]
    stylize_dataset(*folders, model=tiny, sidecars=patterns, **OPTIONS)
    again = stylize_dataset(*folders, model=tiny, sidecars=patterns[::-1], **OPTIONS)
    assert (again.done, again.found) == (0, 6)


@pytest.mark.parametrize(
    ("text", "words"),
    [("[]", "is no table of settings"), ("null", "is no table"), (100_000 * "[", "cannot read")],
)
def test_settings_that_are_none(folders, tiny, text, words):
    *_, out = folders
    out.mkdir()
    (out / "dataset.json").write_text(text)
    with pytest.raises(WctError, match=words):
        stylize_dataset(*folders, model=tiny, **OPTIONS)


@pytest.mark.parametrize("name", ["style0.png", "style3.png"])
def test_other_styles_need_another_folder(folders, tiny, name):
    """One that is changed, or one more."""
    _, styles, _ = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    save(styles / "by name" / name, (20, 20), 20)
    with pytest.raises(WctError, match=r"was begun with other settings \(styles\)"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)


def test_another_model_needs_another_folder(folders, tiny, monkeypatch):
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    monkeypatch.setattr(tiny, "mark", "other")
    with pytest.raises(WctError, match=r"was begun with other settings \(model\)"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": (0.5, 0.2)}, "alpha must be from 0 to 1, or a range"),
        ({"alpha": (0.1, 0.2, 0.3)}, "alpha must be from 0 to 1, or a range"),
        ({"alpha": 1.5}, "alpha must be from 0 to 1, or a range"),
        ({"shard": (0, 2)}, "there is no part 0 of 2"),
        ({"format": "gif"}, "its format 'gif' is not one of"),
        ({"engine": "spark"}, "there is no engine 'spark'"),
        ({"levels": (6,)}, "there is no level 6"),
        ({"workers": 2}, "are for the engine 'ray'"),
        ({"address": "auto"}, "are for the engine 'ray'"),
        ({"alpha": (0.1, 0.2, 0.3)}, "a range such as 0.4,1"),
        ({"engine": "ray"}, "give the model's name or directory"),
        ({"styles_per_image": 4}, "4 styles a picture of 3"),
    ],
)
def test_what_cannot_be(folders, tiny, options, words):
    with pytest.raises(WctError, match=words):
        stylize_dataset(*folders, model=tiny, **options)
    assert not results(folders[2])


def test_numbers_may_be_numpys(folders, tiny):
    content, styles, out = folders
    numbers = {"alpha": np.float32(0.5), "detail": np.array([0.5, 0.25]), "seed": np.int64(3)}
    stylize_dataset(*folders, model=tiny, levels=(2, 1), **numbers)
    plain, same = out.with_name("plain"), {"alpha": 0.5, "detail": (0.5, 0.25), "seed": 3}
    stylize_dataset(content, styles, plain, model=tiny, levels=(2, 1), **same)
    assert results(out) == results(plain)


def test_folders_that_will_not_do(folders, tiny):
    content, styles, out = folders
    save(out / "mine.png", (5, 5), 0)
    with pytest.raises(WctError, match="has other files in it: choose an empty folder"):
        stylize_dataset(*folders, model=tiny)
    with pytest.raises(WctError, match=r"is in the folder .*content"):
        stylize_dataset(content, styles, content / "out", model=tiny)
    with pytest.raises(WctError, match=r"is in the folder .*styles"):
        stylize_dataset(content, styles, styles / "out", model=tiny)
    empty = out.with_name("empty")
    empty.mkdir()
    for pair in ((empty, styles), (content, empty)):
        with pytest.raises(WctError, match=r"no pictures in .*empty: they are told by suffixes"):
            stylize_dataset(*pair, out.with_name("new"), model=tiny)
    assert not out.with_name("new").exists()


def test_labels_are_not_replaced_by_results(folders, tiny):
    content, _, out = folders
    save(content / "dog.jpg", (24, 20), 0)
    save(content / "dog.png", (24, 20), 1)
    with pytest.raises(WctError, match=r"dog\.jpg and dog\.png would both become dog\.png"):
        stylize_dataset(*folders, model=tiny, sidecars=["dog.png"])
    (content / "dog.png").unlink()
    (content / "manifest.jsonl").write_text("mine")
    with pytest.raises(WctError, match=r"manifest\.jsonl, which a data set has: rename it"):
        stylize_dataset(*folders, model=tiny)
    assert not out.exists()


def test_names_are_told_apart_as_the_folder_does(folders, tiny):
    content, _, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    save(content / "Dog.jpg", (24, 20), 0)
    (out / "DATASET.JSON").hardlink_to(out / "dataset.json")  # as on macOS and Windows
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).done == 1
    save(content / "dog.png", (24, 20), 1)
    with pytest.raises(WctError, match=r"Dog\.jpg and dog\.png would both become dog\.png"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)
    (out / "DATASET.JSON").unlink()
    assert stylize_dataset(*folders, model=tiny, **OPTIONS).done == 1


def test_one_process_a_part(folders, tiny):
    def again(report):
        if not report.done:
            return
        with pytest.raises(WctError, match="another process is at this part"):
            stylize_dataset(*folders, model=tiny, **OPTIONS)

    assert stylize_dataset(*folders, model=tiny, progress=again, **OPTIONS).done == 6


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOTSUP, "Operation not supported"), NotImplementedError("no flock")]
)
def test_a_folder_that_cannot_be_locked(folders, tiny, monkeypatch, error):
    """As on some network drives."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    with pytest.raises(WctError, match=r"cannot lock .*out \((Operation not supported|no flock)\)"):
        stylize_dataset(*folders, model=tiny, **OPTIONS)
    content, [style, *_] = picture(50, 60, 0), sorted(folders[1].rglob("*.png"))
    with pytest.raises(WctError, match=r"cannot lock .* \((Operation not supported|no flock)\)"):
        wct.stylize(content, style, model=tiny, levels=(1,), tile=48, scratch=folders[2])


def test_batches_change_nothing(folders, tiny, monkeypatch):
    content, styles, out = folders
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    monkeypatch.setattr(Painter, "batch", 3)
    stylize_dataset(content, styles, out.with_name("batches"), model=tiny, **OPTIONS)
    batches = out.with_name("batches")
    assert sorted(results(batches)) == sorted(results(out))
    for name in results(out):
        one, other = (np.asarray(Image.open(each / name), np.int16) for each in (out, batches))
        assert np.abs(one - other).max() <= 1


def test_pictures_of_many_sizes_do_not_pile_up():
    taken, given, most = [], [], 0

    def found():
        for side in range(1, 41):
            taken.append(Task(f"{side}.png", 0, None, f"{side}.png"))
            pixels = np.zeros((side, 1, 3), np.uint8)
            yield Job(f"{side}.png", taken[-1:]), Picture(pixels, None, "pillow")

    for group in grouped(found(), 2):
        most = max(most, len(taken) - len(given))
        given += [task for task, _ in group]
    assert most <= 8  # four for each of a batch
    assert sorted(given, key=taken.index) == taken


def test_results_that_wait_to_be_written_do_not_pile_up(monkeypatch):
    painted, written, most = [], [], []
    black = np.zeros((1, 1, 3), np.uint8)

    def paint(pixels, tasks):
        painted.extend(tasks)
        most.append(len(painted) - len(written))
        return pixels

    def write(task, *_):
        time.sleep(0.01)
        written.append(task)
        return task

    paint.batch = 1
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("wct._local._AHEAD", 2)
    files = SimpleNamespace(read=lambda _: Picture(black, None, "pillow"), write=write)
    tasks = [Task(f"{index}.png", 0, None, f"{index}.png") for index in range(30)]
    jobs = [Job(task.content, [task]) for task in tasks]
    assert list(repaint_here(jobs, files, paint)) == tasks
    assert max(most) <= 3  # two that wait, and the new one


def test_each_of_a_batch_has_its_share_of_the_time():
    def repaint(pixels, tasks):
        time.sleep(0.03)
        return pixels

    item = Task("a.png", 0, None, "a.png"), Picture(np.zeros((1, 1, 3), np.uint8), None, "pillow")
    start = time.perf_counter()
    shares = [seconds for *_, seconds in paint(repaint, [item, item, item])]
    assert 0.03 <= sum(shares) <= time.perf_counter() - start


def test_what_stops_the_work_stops_the_reading(monkeypatch):
    """What is being read then is read to its end, and no more."""
    begun, stopped, read = threading.Event(), threading.Event(), []
    shutdown = ThreadPoolExecutor.shutdown

    def stop(pool, wait=True, **options):
        shutdown(pool, wait=False, **options)
        stopped.set()
        shutdown(pool, wait=wait)

    def read_picture(content):
        read.append(content)
        if len(read) == 2:
            begun.set()
            stopped.wait(10)
        return Picture(np.zeros((1, 1, 3), np.uint8), None, "pillow")

    def fail(pixels, tasks):
        begun.wait(10)
        raise KeyboardInterrupt

    fail.batch = 1
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", stop)
    jobs = [Job(name, [Task(name, 0, None, name)]) for name in "abcd"]
    with pytest.raises(KeyboardInterrupt):
        list(repaint_here(jobs, SimpleNamespace(read=read_picture), fail))
    assert read == ["a", "b"]


def test_large_pictures_are_done_in_tiles(folders, tiny, monkeypatch):
    content, styles, out = folders
    save(content / "large.png", (70, 90), 9)
    stylize_dataset(content, styles, out.with_name("whole"), model=tiny, **OPTIONS)
    monkeypatch.setattr("wct._painter.choose_tile", lambda size, *_: 48 if max(size) > 48 else None)
    stylize_dataset(*folders, model=tiny, **OPTIONS)
    for name, data in results(out.with_name("whole")).items():
        if name != "large.png":
            assert results(out)[name] == data
    one, other = (
        np.asarray(Image.open(each / "large.png"), np.int16)
        for each in (out, out.with_name("whole"))
    )
    assert np.abs(one - other).max() <= 1


@pytest.fixture
def command(folders, tiny_directory):
    """The arguments of `wct dataset` on these folders, by the tiny model."""
    arguments = ["dataset", *folders[:2], "-o", folders[2], "-a", "0.3,1", "--levels", "2,1"]
    return [*map(str, arguments), "--model", str(tiny_directory)]


def test_the_styles_may_be_one_picture(folders, tiny):
    """As if it were alone in its folder."""
    content, styles, out = folders
    stylize_dataset(content, styles / "by name/style1.png", out, model=tiny, **OPTIONS)
    assert {name for record in records(out) for name in record["styles"]} == {"style1.png"}
    for index in (0, 2):
        (styles / f"by name/style{index}.png").unlink()
    again = out.with_name("again")
    stylize_dataset(content, styles / "by name", again, model=tiny, **OPTIONS)
    assert results(out) == results(again)
    (styles / "notes.txt").touch()
    with pytest.raises(WctError, match=r"notes\.txt is no folder of styles, no picture, and no"):
        stylize_dataset(content, styles / "notes.txt", out, model=tiny)


def test_the_command(folders, command, tiny_directory):
    content, styles, out = folders
    first = CliRunner().invoke(main, [*command, "--shard", "2/3"])
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("2 pictures made, 0 there before, ")
    (content / "class1/7.jpg").touch()
    for name in ("8.raw", "9.RAW", "LICENSE"):
        (content / name).touch()
    second = CliRunner().invoke(main, command)
    assert second.exit_code == 1
    assert second.stdout.startswith("4 pictures made, 2 there before, ")
    assert second.stdout.endswith("\nfiles copied along: 2 .raw, 1 LICENSE\n")
    assert "7.jpg" in second.stderr
    assert "Error: 1 pictures cannot be read: the manifest in" in second.stderr
    wanted = out.with_name("wanted")
    (content / "class1/7.jpg").unlink()
    stylize_dataset(content, styles, wanted, model=tiny_directory, **OPTIONS)
    assert results(out) == results(wanted)


def test_the_commands_options_are_the_librarys(folders, command, tiny_directory):
    content, styles, out = folders
    save(content / "class0/0_mask.png", (5, 5), 0)
    done = CliRunner().invoke(
        main,
        [*command, "--styles-per-image", "2", "--seed", "5", "--detail", "0.2", "--format", "webp",
         "--sidecar", "*_mask.png", "--style-size", "20", "--preset", "faithful"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    wanted = out.with_name("wanted")
    stylize_dataset(
        content, styles, wanted, styles_per_image=2, seed=5, detail=0.2, format="webp",
        sidecars=["*_mask.png"], style_size=20, preset="faithful", model=tiny_directory, **OPTIONS,
    )  # fmt: skip
    made = {path.relative_to(wanted): path.read_bytes() for path in wanted.rglob("*.*p*g*")}
    assert made
    assert made == {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*p*g*")}


def test_a_terminal_is_told_how_far_the_work_is(folders, command, monkeypatch):
    monkeypatch.setattr("wct._cli_options.is_watched", lambda: True)
    (folders[0] / "class1/7.jpg").touch()
    terminal = {"FORCE_COLOR": "1", "COLUMNS": "120", "TERM": "xterm"}
    done = CliRunner().invoke(main, command, env=terminal)
    assert done.stdout.startswith("6 pictures made, ")
    assert re.search(r"6/7, [\d.]+/s, \d+% waiting, 1 failed.* 86%", done.stderr)


def test_results_are_of_the_format(folders, tiny):
    stylize_dataset(*folders, model=tiny, format="JPG", levels=(1,))
    found = [path.read_bytes()[:3] for path in folders[2].rglob("*.jpg")]
    assert found == 6 * [b"\xff\xd8\xff"]


def test_a_part_that_is_none(command):
    done = CliRunner().invoke(main, [*command, "--shard", "1-2"])
    assert done.exit_code == 2
    assert "'1-2' is no part such as 2/8" in done.stderr


def test_killed_it_goes_on(folders, command):
    """As by the system for want of memory: nothing can be tidied up."""
    content, _, out = folders
    for index in range(6, 40):
        save(content / f"more/{index}.png", SIZES[0], index)
    process = subprocess.Popen([sys.executable, "-m", "wct", *command], stdout=subprocess.PIPE)
    manifest = out / "manifest.jsonl"
    deadline = time.monotonic() + 120
    while not (manifest.exists() and manifest.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (out / "class0/.wct-0123.tmp").write_bytes(b"half")
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    made = [record["output"] for record in records(out)]
    assert len(made) == len(set(made)) == 40
    for record in records(out):
        assert hashlib.sha256((out / record["output"]).read_bytes()).hexdigest() == record["sha256"]
    assert not list(out.rglob("*.tmp"))


def test_without_ray_one_is_told_to_install_it(folders, tiny_directory, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WctError, match=r"needs Ray: pip install 'ray\[data\]'"):
        stylize_dataset(*folders, model=tiny_directory, engine="ray", **OPTIONS)


def test_on_ray_a_worker_dies(folders, command, tiny_directory):
    content, styles, out = folders
    for index in range(6, 30):
        save(content / f"more/{index}.png", SIZES[0], index)
    (content / "class1/7.jpg").touch()
    script = Path(__file__).with_name("ray_worker_dies.py")
    done = subprocess.run(
        [sys.executable, script, content, styles, out, tiny_directory],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]  # Ray says something too
    first, *others = [line[1:] for line in lines if line[:1] == ["report:"]]
    count, painters, failed, killed = first
    assert (count, painters, failed) == ("30", "2", "class1/7.jpg")
    assert int(killed) > 0
    blocked = f"cannot write {out.with_name('other') / 'more.png'}: Is a directory"
    assert others == [["3", "0", "1"], ["0", "3", "1"], blocked.split()]
    here = out.with_name("here")
    stylize_dataset(content, styles, here, model=tiny_directory, **OPTIONS)
    assert results(out) == results(here)
    assert sorted(record.get("output", "") for record in records(out)) == sorted(
        record.get("output", "") for record in records(here)
    )


@pytest.mark.parametrize("where", ["styles", "content"])
def test_a_link_to_nowhere_is_named(folders, tiny, where):
    content, styles, out = folders
    link = {"styles": styles / "gone.png", "content": content / "gone.txt"}[where]
    link.symlink_to("nowhere")
    with pytest.raises(WctError, match=rf"cannot read .*{link.name}: No such file"):
        stylize_dataset(content, styles, out, model=tiny, sidecars=["*.txt"], **OPTIONS)
