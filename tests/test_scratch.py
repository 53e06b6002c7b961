import gc
import os
from pathlib import Path

import numpy as np
import pytest

from wct._errors import WctError
from wct._scratch import Scratch


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_written_is_there(tmp_path, folder):
    scratch = Scratch()
    scratch.folder = tmp_path if folder else None
    rng = np.random.default_rng(0)
    array, other = (scratch.new((40, 30, 3), np.float32, name) for name in ("one", "two"))
    wanted = np.zeros((40, 30, 3), np.float32)
    for area in (np.s_[:10, :30], np.s_[10:40, 7:19], np.s_[5:12, 0:30]):
        rows, columns = (slice(part.start or 0, part.stop) for part in area)
        part = rng.normal(size=wanted[rows, columns].shape).astype(np.float32)
        scratch.write(array, part, (rows, columns))
        wanted[rows, columns] = part
        np.testing.assert_array_equal(array, wanted)
        scratch.release()
        np.testing.assert_array_equal(array, wanted)
    assert not other.any()


def test_a_part_may_be_a_view_of_more():
    scratch = Scratch()
    array = scratch.new((8, 8, 2), np.float32)
    whole = np.arange(8 * 8 * 2, dtype=np.float32).reshape(8, 8, 2)
    scratch.write(array, whole[2:6, 3:5], (slice(0, 4), slice(6, 8)))
    np.testing.assert_array_equal(array[:4, 6:], whole[2:6, 3:5])


def test_a_part_may_be_of_another_type():
    scratch = Scratch()
    array = scratch.new((4, 4, 1), np.float32)
    scratch.write(array, np.ones((4, 4, 1), np.uint8), (slice(0, 4), slice(0, 4)))
    np.testing.assert_array_equal(array, 1)


def test_all_that_is_large_lies_where_the_user_says(tmp_path, monkeypatch):
    """Not in the system's place for temporary files, which may be small."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    scratch = Scratch()
    with pytest.raises(WctError, match="no room for"):
        scratch.new((4, 4, 1), np.float32)
    scratch.folder = tmp_path
    scratch.new((4, 4, 1), np.float32)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells")
def test_memory_of_maps_is_given_back():
    def taken():
        """Of memory that is mapped to files."""
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")

    scratch, size = Scratch(), 32 * 2**20
    array = scratch.new((size // 16, 4), np.float32)
    array[:] = 3
    before = taken()
    scratch.release()
    assert before - taken() > 0.9 * size
    assert (array == 3).all()


def test_a_checkpoint_is_found_and_written_on(tmp_path):
    scratch = Scratch()
    scratch.folder = tmp_path
    array = scratch.new((4, 4, 1), np.float32, "one")
    scratch.write(array, np.ones((4, 4, 1), np.float32), (slice(0, 4), slice(0, 4)))
    assert scratch.find("one", (4, 4, 1), np.float32) is None  # it may not be complete
    scratch.keep("one")
    del array
    gc.collect()
    found = scratch.find("one", (4, 4, 1), np.float32)
    np.testing.assert_array_equal(found, 1)
    scratch.write(found, np.zeros((1, 1, 1), np.float32), (slice(0, 1), slice(0, 1)))
    assert found.sum() == 15


@pytest.mark.skipif(os.name != "posix", reason="only there a file tells its room")
@pytest.mark.parametrize("reserves", [False, True])
def test_room_is_taken_at_once(tmp_path, monkeypatch, reserves):
    """Where the system cannot reserve it, too, as on macOS."""
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        monkeypatch.setattr("wct._scratch._AT_ONCE", 2**18, raising=False)
    scratch = Scratch()
    scratch.folder = tmp_path
    array = scratch.new((1000, 1001, 1), np.float32, "one")
    assert not array.any()
    about = (tmp_path / "one").stat()
    assert about.st_size == array.nbytes <= 512 * about.st_blocks


def test_no_folder_for_temporary_files(monkeypatch):
    def fail():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", fail)
    with pytest.raises(
        WctError, match=r"no room .* in any folder \(No usable .*choose another place"
    ):
        Scratch().new((4, 4, 1), np.float32)


@pytest.mark.parametrize("left", [b"", bytes(63), bytes(65)])
def test_a_checkpoint_of_another_size_is_none(tmp_path, left):
    scratch = Scratch()
    scratch.folder = tmp_path
    (tmp_path / "one").write_bytes(left)
    assert scratch.find("one", (4, 4, 1), np.float32) is None
