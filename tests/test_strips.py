"""Files read and written by strips: as Pillow reads and writes them."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import picture
from PIL import ExifTags, Image

import wct
from wct import _strips
from wct._decode import SRGB
from wct._errors import ImageError
from wct._image import Picture, read_image, read_size
from wct._scratch import Scratch
from wct._strips import read_strips, write_strips
from wct._write import write_image

PIXELS = np.uint8(255 * picture(67, 91, 0))
OPACITY = np.tile(np.uint8(np.linspace(0, 255, 91)), (67, 1))
PHOTO = Image.fromarray(PIXELS)
CLEAR = Image.fromarray(np.dstack([PIXELS, OPACITY]))
PROFILE = SRGB.tobytes()


def turned(orientation=6):
    about = Image.Exif()
    about[ExifTags.Base.Orientation] = orientation
    about[ExifTags.Base.Artist] = "A. Painter"
    about.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    return about.tobytes()


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF
 xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></r:RDF></x:xmpmeta>"""

FILES = {
    "photo.jpg": (PHOTO, {"quality": 90, "dpi": (300, 300)}),
    "turned.jpg": (PHOTO, {"exif": turned()}),
    "turned.tif": (PHOTO, {"exif": turned()}),
    "mirrored.tif": (PHOTO, {"exif": turned(5)}),
    "xmp.jpg": (PHOTO, {"xmp": XMP}),
    "photo.png": (PHOTO, {"icc_profile": PROFILE}),
    "grey.png": (PHOTO.convert("L"), {}),
    "bits.png": (PHOTO.convert("1"), {}),
    "palette.png": (PHOTO.quantize(16), {}),
    "clear.png": (CLEAR, {}),
    "greyclear.png": (CLEAR.convert("LA"), {}),
    "photo.tif": (PHOTO, {"compression": "tiff_lzw"}),
    "big.tif": (PHOTO, {"big_tiff": True}),
    "clear.tif": (CLEAR, {"compression": "tiff_deflate"}),
    "progressive.jpg": (PHOTO, {"progressive": True}),
}


def opened(path):
    """An image, read from a file that is closed again."""
    return Image.open(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_pillow_reads_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_strips, "_AT_ONCE", 1000)
    image, options = FILES[name]
    image.save(tmp_path / name, **options)
    wanted, found = read_image(tmp_path / name), read_strips(tmp_path / name, Scratch())
    assert found is not None
    assert read_size(tmp_path / name) == found.stored.shape[:2]
    np.testing.assert_array_equal(found.stored, wanted.stored)
    assert (found.stored_alpha is None) == (wanted.stored_alpha is None)
    if wanted.stored_alpha is not None:
        np.testing.assert_array_equal(found.stored_alpha, wanted.stored_alpha)
    assert found.about == wanted.about
    assert found.kind == wanted.kind


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_another_picture_under_a_name_that_was_read(suffix, orientation, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photo.{suffix}"
    for size in ((40, 30), (40, 30), (50, 20)):
        Image.effect_noise(size, 40 * len(suffix)).convert("RGB").save(path, exif=exif)
        found = read_strips(path, Scratch())
        np.testing.assert_array_equal(found.stored, read_image(path).stored)


def test_profiles_are_applied(tmp_path, monkeypatch):
    """One that swaps red and blue, as Pillow applies it, but for rounding; and back."""
    make = tempfile.NamedTemporaryFile

    def make_unreadable(*arguments, **options):
        """As on Windows, where nobody else opens a temporary file that is open."""
        file = make(*arguments, **options)
        file.name = "in use"
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", make_unreadable)
    data = bytearray(PROFILE.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")))
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    PHOTO.save(tmp_path / "photo.png", icc_profile=bytes(data))
    wanted = read_image(tmp_path / "photo.png")
    found = read_strips(tmp_path / "photo.png", Scratch())
    assert np.abs(np.int16(wanted.stored) - PIXELS).max() > 30
    assert np.abs(np.int16(found.stored) - wanted.stored).max() <= 2

    write_strips(found, found.stored, tmp_path / "back.png", overwrite=False)
    back = opened(tmp_path / "back.png")
    assert back.info["icc_profile"] == bytes(data)
    assert np.abs(np.int16(back) - PIXELS).max() <= 4


OTHERS = {
    "deep.png": Image.fromarray(np.uint16(PIXELS[..., 0]) * 257),
    "cmyk.jpg": PHOTO.convert("CMYK"),
    "cmyk.tif": PHOTO.convert("CMYK"),
    "ycbcr.tif": PHOTO.convert("YCbCr"),
    "palette.gif": PHOTO.quantize(16),
    "photo.webp": PHOTO,
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_left_to_pillow(name, tmp_path):
    OTHERS[name].save(tmp_path / name)
    if name == "ycbcr.tif" and opened(tmp_path / name).mode == "RGB":
        pytest.skip("Pillow before 13 takes it for RGB, and cannot read it")
    assert read_strips(tmp_path / name, Scratch()) is None


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "big.tif"])
def test_damaged_files_are_one_line(name, tmp_path):
    image, options = FILES[name]
    image.save(tmp_path / name, **options)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=rf"cannot read .*{name}: it is damaged"):
        read_strips(tmp_path / name, Scratch()) or read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("image", [PHOTO, CLEAR], ids=["opaque", "clear"])
def test_files_are_written_as_pillow_writes_them(suffix, image, tmp_path):
    source = read_image(image)
    pixels = np.ascontiguousarray(PIXELS[::-1])
    write_strips(source, pixels, tmp_path / f"found.{suffix}", overwrite=False)
    write_image(source.like(pixels), tmp_path / f"wanted.{suffix}")
    found, wanted = (opened(tmp_path / f"{name}.{suffix}") for name in ("found", "wanted"))
    assert found.format == wanted.format
    assert found.mode == wanted.mode
    if suffix == "jpg" and image is CLEAR:  # on white, which rounds otherwise: then JPEG differs
        share = np.tile(OPACITY[..., None] / 255, 3)
        on_white = share * pixels + 255 * (1 - share)
        off, pillows = (np.abs(np.asarray(each) - on_white).mean() for each in (found, wanted))
        assert off < 1.1 * pillows
    else:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    assert found.info["icc_profile"] == wanted.info["icc_profile"]
    assert {path.stem for path in tmp_path.iterdir()} == {"found", "wanted"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_what_is_known_is_written(suffix, tmp_path):
    stream = io.BytesIO()
    PHOTO.save(
        stream, "JPEG", exif=turned(), dpi=(300, 200), xmp=XMP.replace(b"Orientation", b"Make")
    )
    source = read_image(stream)
    write_strips(source, PIXELS, tmp_path / f"photo.{suffix}", overwrite=False)
    found = opened(tmp_path / f"photo.{suffix}")
    assert found.getexif()[ExifTags.Base.Artist] == "A. Painter"
    assert b"Make" in read_image(tmp_path / f"photo.{suffix}").about["xmp"]
    assert found.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert found.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
    dpi = found.info["dpi"]
    if suffix == "jpg":  # of EXIF, Pillow takes one for both
        dpi = [found.getexif()[ExifTags.Base[f"{axis}Resolution"]] for axis in "XY"]
    assert dpi == pytest.approx((300, 200), abs=0.01)


def test_large_tiff_is_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(_strips, "_TIFF_SIZE", 1000)
    write_strips(read_image(PHOTO), PIXELS, tmp_path / "big.tif", overwrite=False)
    assert (tmp_path / "big.tif").read_bytes()[:3] == b"II+"
    np.testing.assert_array_equal(read_image(tmp_path / "big.tif").stored, PIXELS)


def test_a_picture_that_a_format_cannot_hold(tmp_path):
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with pytest.raises(ImageError, match=r"cannot write .*wide.jpg: .* 1 × 70000 pixels"):
        write_strips(Picture(wide, None, "pillow"), wide, tmp_path / "wide.jpg", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_no_directory_and_a_file_that_is_there(tmp_path):
    source = read_image(PHOTO)
    with pytest.raises(ImageError, match="there is no directory"):
        write_strips(source, PIXELS, tmp_path / "no" / "photo.png", overwrite=False)
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(ImageError, match="exists already"):
        write_strips(source, PIXELS, tmp_path / "photo.png", overwrite=False)
    assert (tmp_path / "photo.png").read_bytes() == b"mine"


@pytest.mark.parametrize("tile", [None, 96])
@pytest.mark.parametrize("name", ["clear.png", "turned.jpg", "turned.tif"])
def test_from_file_to_file(tiny, tmp_path, name, tile):
    image, options = FILES[name]
    image.save(tmp_path / name, **options)
    arguments = {"content": tmp_path / name, "style": PIXELS, "levels": (3, 1), "model": tiny}
    wanted = wct.stylize(**arguments)
    target = tmp_path / "result.tif"
    assert wct.stylize(**arguments, tile=tile, output=target) is None
    found = opened(target)
    assert found.mode == wanted.mode
    camera = wanted.getexif().get_ifd(ExifTags.IFD.Exif)
    assert found.getexif().get_ifd(ExifTags.IFD.Exif) == camera
    assert np.abs(np.int16(found) - np.int16(wanted)).max() <= 1
    with pytest.raises(ImageError, match="exists already"):
        wct.stylize(**arguments, tile=tile, output=target)
    wct.stylize(**arguments, tile=tile, output=Path(target), overwrite=True, alpha=0)
    assert np.abs(np.int16(opened(target)) - np.int16(found)).max() > 20


@pytest.mark.parametrize("count", [4, 5])
def test_samples_that_are_no_opacity(count, tmp_path):
    """Whatever else a TIFF has besides its colours is left to Pillow."""
    extra = ["unspecified"] if count == 4 else ["unassalpha", "unspecified"]
    values = np.dstack([PIXELS, OPACITY, OPACITY])[..., :count]
    tifffile.imwrite(tmp_path / "more.tif", values, photometric="rgb", extrasamples=extra)
    assert read_strips(tmp_path / "more.tif", Scratch()) is None


def test_what_libvips_finds_out_late_is_left_to_pillow(tmp_path):
    planes = np.moveaxis(PIXELS, -1, 0)
    options = {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16)}
    tifffile.imwrite(tmp_path / "planes.tif", planes, **options)
    assert read_strips(tmp_path / "planes.tif", Scratch()) is None
    np.testing.assert_array_equal(read_image(tmp_path / "planes.tif").stored, PIXELS)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes there alone")
def test_names_that_are_no_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"d\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    PHOTO.save(folder / "photo.png")
    assert read_strips(folder / "photo.png", Scratch()) is None
    picture = read_image(folder / "photo.png")
    write_strips(picture, picture.stored, folder / "again.png", overwrite=False)
    np.testing.assert_array_equal(read_image(folder / "again.png").stored, PIXELS)


@pytest.mark.parametrize(
    ("name", "side"), [("long.webp", 16_384), ("long.jpg", 65_501), ("long.avif", 32_769)]
)
def test_what_a_format_cannot_hold_is_told_at_once(name, side, tmp_path):
    with pytest.raises(ImageError, match=f"a side of {side} pixels is more than"):
        wct.stylize(np.zeros((1, side, 3), np.uint8), PHOTO, output=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ImageError, match="no file can be made in"):
        wct.stylize(PHOTO, PHOTO, output=tmp_path / "result.png")
