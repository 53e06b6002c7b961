import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wct._errors import WctError
from wct._manifest import Manifest, Record, finished
from wct._tasks import find_files, is_picture, plan_sidecars, plan_tasks, refuse_clashes

NAMES = [f"class{index % 7}/picture {index}.jpg" for index in range(3000)]


def plan(contents, styles=10, seed=0, per_image=1, alpha=(0.0, 1.0), suffix=".png"):
    options = {"seed": seed, "per_image": per_image, "alpha": alpha, "suffix": suffix}
    return list(plan_tasks(contents, styles, **options))


@given(st.lists(st.sampled_from(NAMES), unique=True, max_size=20), st.integers(0, 2**40))
def test_a_part_in_any_order_is_planned_as_the_whole(contents, seed):
    whole = {task.output: task for task in plan(NAMES[:200] + contents, seed=seed)}
    assert all(whole[task.output] == task for task in plan(contents, seed=seed))


def test_all_styles_and_strengths_are_drawn_alike():
    tasks = plan(NAMES, styles=10, alpha=(0.4, 0.9))
    counts = [sum(task.style == style for task in tasks) for style in range(10)]
    assert sum((count - 300) ** 2 / 300 for count in counts) < 27.9  # χ² of 9: one in a thousand
    strengths = sorted(task.alpha for task in tasks)
    assert strengths[0] >= 0.4
    assert strengths[-1] < 0.9
    for index, strength in enumerate(strengths):  # Kolmogorov–Smirnov, one in a thousand
        assert abs((strength - 0.4) / 0.5 - index / len(tasks)) < 1.95 / len(tasks) ** 0.5


def test_the_seed_matters():
    one, other = ([task.style for task in plan(NAMES[:100], seed=seed)] for seed in (0, 1))
    assert 0 < sum(map(int.__eq__, one, other)) < 30


def test_what_is_drawn_stays_the_same_between_versions():
    [task] = plan(["n01440764/café.JPEG"], styles=79_433, seed=7)
    assert (task.style, task.alpha) == (1646, 0.2589591663561527)


@pytest.mark.parametrize("per_image", [2, 5])
def test_several_styles_of_a_picture_differ(per_image):
    tasks = plan(NAMES[:50], styles=5, per_image=per_image)
    for start in range(0, len(tasks), per_image):
        group = tasks[start : start + per_image]
        assert len({task.style for task in group}) == per_image
        stem = group[0].content.removesuffix(".jpg")
        assert [task.output for task in group] == [
            f"{stem}-{count}.png" for count in range(1, per_image + 1)
        ]


@pytest.mark.parametrize("per_image", [1, 2])
def test_only_the_last_suffix_of_a_name_is_another(per_image):
    tasks = plan(["v1.0/dog.best.jpg"], per_image=per_image)
    wanted = {1: ["dog.best.png"], 2: ["dog.best-1.png", "dog.best-2.png"]}[per_image]
    assert [task.output for task in tasks] == [f"v1.0/{name}" for name in wanted]
    files = ["v1.0/dog.best.json", "v1.0/dog.json"]
    copies = dict(plan_sidecars(files, ["v1.0/dog.best.jpg"], 2))
    assert copies == {files[0]: "v1.0/dog.best-2.json", files[1]: files[1]}


@pytest.mark.skipif(os.name != "posix", reason="names are text here")
def test_a_name_that_is_no_text_is_planned():
    [first], [second] = (plan([os.fsdecode(name)]) for name in (b"\xff.jpg", b"\xfe.jpg"))
    assert first.output == os.fsdecode(b"\xff.png")
    assert first.alpha != second.alpha


def test_without_a_range_strengths_are_the_recipes():
    assert {task.alpha for task in plan(NAMES[:5], alpha=None)} == {None}


@pytest.mark.parametrize("per_image", [0, 11])
def test_too_many_styles(per_image):
    with pytest.raises(WctError, match="give from 1 to 10"):
        plan(NAMES[:1], per_image=per_image)


def refuse(*made, **options):
    refuse_clashes(made, lambda name: name == "own.json", **options)


def test_names_that_clash():
    refuse(("a/b.jpg", "a/b.png"), ("a/b.json", "a/b.json"), ("b/own.json", "b/own.json"))
    refuse(("a/b.json", "a/b-1.json"), ("a/b.json", "a/b-2.json"))
    with pytest.raises(WctError, match=r"a/b\.jpg and a/b\.png would both become a/b\.png: rename"):
        refuse(("a/b.jpg", "a/b.png"), ("a/b.png", "a/b.png"))
    with pytest.raises(WctError, match=r"own\.json would become own\.json, which a data set has"):
        refuse(("own.json", "own.json"))


def test_names_that_clash_but_for_their_case():
    names = ("dog.png", "dog.png"), ("Dog.jpg", "Dog.png"), ("Own.json", "Own.json")
    refuse(*names)
    with pytest.raises(WctError, match=r"dog\.png and Dog\.jpg would both become Dog\.png: rename"):
        refuse(*names, folded=True)
    with pytest.raises(WctError, match=r"Own\.json would become Own\.json, which a data set has"):
        refuse(*names[::-1], folded=True)


def test_files_are_found_at_any_depth(tmp_path):
    for name in ("b/c/d.JPG", "a.png", ".hidden/x.png", "b/.x.png", "b/labels.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/c/back").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "b/pipe.png")
    assert find_files(tmp_path) == ["a.png", "b/c/d.JPG", "b/labels.json"]


def test_linked_folders_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/linked").symlink_to(tmp_path / "elsewhere")
    assert find_files(tmp_path / "photos") == ["linked/a.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """Of its pictures none would be made, and no one told."""
    locked, scan = tmp_path / "locked", os.scandir
    locked.mkdir()
    (tmp_path / "a.png").touch()

    def scan_all_but_one(path):
        if os.fspath(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(locked))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_all_but_one)
    with pytest.raises(WctError, match=r"cannot read .*locked: Permission denied"):
        find_files(tmp_path)


def test_folders_without_numbers_are_told_apart(tmp_path, monkeypatch):
    """As some network drives have them on Windows."""
    stat = os.stat
    zeros = {1: 0, 2: 0}

    def stat_without(path, **options):
        found = stat(path, **options)
        return os.stat_result(zeros.get(place, value) for place, value in enumerate(found))

    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "stat", stat_without)
    assert find_files(tmp_path) == ["a/1.png", "b/2.png"]


def test_no_folder(tmp_path):
    with pytest.raises(WctError, match="there is no folder"):
        find_files(tmp_path / "none")
    with pytest.raises(WctError, match="there is no folder"):
        find_files(tmp_path / (300 * "a"))


def test_pictures_are_told_by_their_suffixes(monkeypatch):
    """And labels by their case, too: alike on all machines."""
    monkeypatch.setattr("os.path.normcase", str.lower)  # as on Windows
    names = ["a.jpeg", "b/A.WebP", "c.json", "d", "e_mask.png", "E_MASK.png", "mask/f.png"]
    assert [name for name in names if is_picture(name, ["*_mask.png", "m*.png"])] == [
        "a.jpeg", "b/A.WebP", "E_MASK.png", "mask/f.png",
    ]  # fmt: skip


def test_sidecars_go_with_their_picture():
    files = ["a/dog.json", "a/dog_mask.png", "a/dogs.json", "a/dog-house.txt", "a/b.md"]
    pictures = ["a.jpg", "a/dog.jpg", "a/dog-house.jpg"]
    assert list(plan_sidecars(files, pictures, 1)) == [(file, file) for file in files]
    assert list(plan_sidecars(files, pictures, 2)) == [
        ("a/dog.json", "a/dog-1.json"),
        ("a/dog.json", "a/dog-2.json"),
        ("a/dog_mask.png", "a/dog-1_mask.png"),
        ("a/dog_mask.png", "a/dog-2_mask.png"),
        ("a/dogs.json", "a/dogs.json"),
        ("a/dog-house.txt", "a/dog-house-1.txt"),
        ("a/dog-house.txt", "a/dog-house-2.txt"),
        ("a/b.md", "a/b.md"),
    ]


def record(number):
    return Record("a.jpg", ["s.jpg"], 0.5, "m", f"a-{number}.png", f"sha{number}", 0.1)


def test_a_manifest_is_added_to(tmp_path):
    for numbers in ((1, 2), (3,)):
        with Manifest(tmp_path, None) as manifest:
            for number in numbers:
                manifest.add(record(number))
    with Manifest(tmp_path, (2, 4)) as manifest:
        manifest.add(record(4))
        manifest.add(Record("b.jpg", [], None, "m", error="broken"))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["manifest-2-of-4.jsonl", "manifest.jsonl"]
    assert finished(tmp_path) == {f"a-{number}.png" for number in (1, 2, 3, 4)}
    [*_, last] = (tmp_path / "manifest-2-of-4.jsonl").read_text().splitlines()
    assert json.loads(last) == {"content": "b.jpg", "styles": [], "model": "m", "error": "broken"}


@pytest.mark.parametrize("kept", [0, 1, 30])
def test_a_torn_line_is_dropped(tmp_path, kept):
    with Manifest(tmp_path, None) as manifest:
        manifest.add(record(1))
        whole = manifest.path.read_bytes()
    manifest.path.write_bytes(whole + whole[:kept])
    assert finished(tmp_path) == {"a-1.png"}
    with Manifest(tmp_path, None) as manifest:
        manifest.add(record(2))
    assert finished(tmp_path) == {"a-1.png", "a-2.png"}


@pytest.mark.parametrize(
    "line",
    [
        "{]", "3", '{"output": "dog.png", "more": 1}', "\xff", 100_000 * "[",
        '{"content": "dog.jpg", "styles": [], "model": "m", "output": ["dog.png"]}',
    ],
)  # fmt: skip
def test_a_line_that_is_none(tmp_path, line):
    (tmp_path / "manifest-train.jsonl").write_text("not a data set's own\n")
    assert not finished(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(f"{line}\n", "latin-1")
    with pytest.raises(WctError, match=r"line 1 of .*manifest\.jsonl is no record"):
        finished(tmp_path)
