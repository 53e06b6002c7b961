"""EXIF in TIFF files, as other programs read it."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
import pyvips
import tifffile
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from wct import _strips, _write
from wct._image import read_image
from wct._scratch import Scratch
from wct._strips import read_strips, write_strips
from wct._tiff import add_exif
from wct._write import write_image

PIXELS = np.uint8(255 * picture(67, 91, 0))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
PLAIN = {
    ExifTags.Base.Make: "Maker",
    ExifTags.Base.Model: "Model 1",
    ExifTags.Base.Artist: "A. Painter",
    ExifTags.Base.Copyright: "Me",
    ExifTags.Base.DateTime: "2024:05:06 07:08:09",
}
CAMERA = {
    ExifTags.Base.ExposureTime: IFDRational(1, 250),
    ExifTags.Base.ExposureBiasValue: IFDRational(-2, 3),
    ExifTags.Base.ISOSpeedRatings: 200,
    ExifTags.Base.DateTimeOriginal: "2024:05:06 07:08:09",
    ExifTags.Base.LensModel: "A lens of 35 mm",
    ExifTags.Base.MakerNote: bytes(range(256)) * 5 + b"!",
}
GPS = {
    ExifTags.GPS.GPSLatitudeRef: "N",
    ExifTags.GPS.GPSLatitude: (IFDRational(52), IFDRational(31), IFDRational(1234, 100)),
}


def described(endian=None):
    """EXIF of a camera that knows where it is."""
    exif = Image.Exif()
    exif.endian = endian
    exif.update(PLAIN)
    exif.get_ifd(ExifTags.IFD.Exif).update(CAMERA)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(GPS)
    return exif.tobytes()


def profile():
    """One that is for RGB and not just sRGB, though it does nothing."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def assert_described(path):
    assert_described_for_tifffile(path)
    with Image.open(path) as image:
        exif = image.getexif()
        assert {tag: exif[tag] for tag in PLAIN} == PLAIN
        assert exif.get(ExifTags.Base.Orientation, 1) == 1
        found = exif.get_ifd(ExifTags.IFD.Exif)
        assert {tag: found[tag] for tag in CAMERA} == CAMERA
        assert exif.get_ifd(ExifTags.IFD.GPSInfo) == GPS


def assert_described_for_tifffile(path):
    """Which calls fields by their names, and fractions by two numbers."""
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        codes = [tag.code for tag in tags]
        assert codes == sorted(set(codes))
        assert {tag: tags[tag].value for tag in PLAIN} == PLAIN
        found = tags["ExifTag"].value
        assert Fraction(*found["ExposureTime"]) == Fraction(1, 250)
        assert Fraction(*found["ExposureBiasValue"]) == Fraction(-2, 3)
        assert found["LensModel"] == CAMERA[ExifTags.Base.LensModel]
        assert found["MakerNote"] == CAMERA[ExifTags.Base.MakerNote]
        found = tags["GPSTag"].value
        assert found["GPSLatitude"] == (52, 1, 31, 1, 617, 50)
        assert found["GPSLatitudeRef"] == "N"


def tiff(path, **options):
    """A file that no writer of ours writes, and what its directory says."""
    tifffile.imwrite(path, PIXELS, photometric="rgb", software="Mine", **options)
    return directory(path)


def directory(path):
    with tifffile.TiffFile(path) as file:
        return {tag.code: (tag.dtype, tag.value) for tag in file.pages[0].tags}


def add(path, exif):
    with path.open("r+b") as file:
        add_exif(file, exif)


def assert_pixels(path, pixels):
    np.testing.assert_array_equal(tifffile.imread(path), pixels)
    np.testing.assert_array_equal(pyvips.Image.new_from_file(str(path)).numpy(), pixels)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_in_any_order_into_a_tiff_of_any_kind(tmp_path, big, order, endian):
    path = tmp_path / "photo.tif"
    old = tiff(path, bigtiff=big, byteorder=order)
    before = path.read_bytes()
    add(path, described(endian))
    first = 16 if big else 8  # after the header
    assert path.read_bytes()[first : len(before)] == before[first:]
    new = directory(path)
    assert {tag: new[tag] for tag in old} == old
    assert_pixels(path, PIXELS)
    assert_described_for_tifffile(path)
    if not (big and order == ">"):  # which Pillow does not know
        assert_described(path)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), PIXELS)


def test_what_a_tiff_says_already_stays_so(tmp_path):
    path, exif = tmp_path / "photo.tif", Image.Exif()
    tiff(path)
    exif.update({ExifTags.Base.Software: "Theirs", ExifTags.Base.Artist: "A. Painter"})
    add(path, exif.tobytes())
    found = directory(path)
    assert found[ExifTags.Base.Software][1] == "Mine"
    assert found[ExifTags.Base.Artist][1] == "A. Painter"


def test_directories_and_values_start_at_even_places(tmp_path):
    """TIFF 6.0, section 2: on word boundaries."""
    path, exif = tmp_path / "photo.tif", Image.Exif()
    tiff(path)
    with path.open("ab") as file:
        file.write(bytes(1 + path.stat().st_size % 2))  # odd from here on
    exif.update({ExifTags.Base.Artist: "Seven..", ExifTags.Base.Copyright: "Nine....."})
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"eleven byte"
    add(path, exif.tobytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        values = [tag for tag in page.tags if tag.name not in ("StripOffsets", "StripByteCounts")]
        offsets = [page.offset, *(tag.valueoffset for tag in values)]
    assert not any(offset % 2 for offset in offsets)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("more", [{}, {"xmp": XMP, "icc_profile": profile(), "dpi": (300, 300)}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("how", ["file", "stream", "strips"])
def test_in_what_is_written(tmp_path, monkeypatch, how, mode, more, big):
    path = tmp_path / "result.tif"
    if big:
        monkeypatch.setattr(_write, "_TIFF_SIZE", 1000)
        monkeypatch.setattr(_strips, "_TIFF_SIZE", 1000)
    image = Image.fromarray(PIXELS).convert(mode)
    image.info.update(exif=described(), **more)
    source = read_image(image)
    if how == "strips":
        write_strips(source, source.stored, path, overwrite=False)
    else:
        written = path if how == "file" else io.BytesIO()
        write_image(source.like(source.stored), written, format="tif")
        if how == "stream":
            path.write_bytes(written.getvalue())
    assert (path.read_bytes()[2] == 43) == big
    assert_described(path)
    assert [each.name for each in tmp_path.iterdir()] == ["result.tif"]
    with Image.open(path) as image:
        assert image.mode == mode
        assert image.info.get("xmp") == more.get("xmp")
        if more:
            assert image.info["icc_profile"] == more["icc_profile"]
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert np.abs(np.int16(read_image(path).stored) - source.stored).max() <= (2 if more else 0)


def test_from_tiff_to_tiff_by_strips(tmp_path):
    source, target = tmp_path / "photo.tif", tmp_path / "result.tif"
    tiff(source)
    add(source, described())
    found = read_strips(source, Scratch())
    np.testing.assert_array_equal(found.stored, PIXELS)
    write_strips(found, found.stored, target, overwrite=False)
    assert_described(target)
    assert_pixels(target, PIXELS)


def test_types_and_texts_stay_what_they_are(tmp_path):
    """Through Pillow the version would become numbers, and the umlaut a question mark."""
    path = tmp_path / "photo.tif"
    tiff(path)
    version = struct.pack(">HHHI4sI", 1, ExifTags.Base.ExifVersion, 7, 4, b"0232", 0)
    rows = [(ExifTags.Base.Artist, 2, 8, 38 + len(version)), (ExifTags.IFD.Exif, 4, 1, 38)]
    exif = struct.pack(">2sHIH", b"MM", 42, 8, len(rows))
    exif += b"".join(struct.pack(">HHII", *row) for row in rows) + bytes(4)
    add(path, exif + version + "Müller\0".encode())
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert tags["Artist"].value == "Müller"
        assert tags["ExifTag"].value == {"ExifVersion": "0232"}
        assert tags["Artist"].dtype == tifffile.DATATYPE.ASCII


def test_interoperability_is_left_out(tmp_path):
    """Its pointer would lead to where the directory was in the EXIF."""
    path, exif = tmp_path / "photo.tif", Image.Exif()
    tiff(path)
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera.update({ExifTags.Base.ISOSpeedRatings: 200, ExifTags.IFD.Interop: {1: "R98"}})
    data = exif.tobytes()
    assert b"R98" in data
    add(path, data)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags["ExifTag"].value == {"ISOSpeedRatings": 200}


def test_what_tells_of_pixels_is_not_taken(tmp_path):
    """But for the orientation, of a picture that is written as it lies."""
    exif = Image.Exif()
    about = {"ImageWidth": 5, "TileWidth": 16, "SubIFDs": 8, "ColorMap": (1, 2), "Orientation": 6}
    exif.update({ExifTags.Base[name]: value for name, value in about.items()})
    exif[ExifTags.Base.DocumentName] = "A name"
    image = Image.fromarray(PIXELS)
    image.info["exif"] = exif.tobytes()
    write_image(image, tmp_path / "photo.tif")
    found = directory(tmp_path / "photo.tif")
    assert {ExifTags.Base[name] for name in about} & set(found) == {256, 274}
    assert found[ExifTags.Base.DocumentName][1] == "A name"
    np.testing.assert_array_equal(read_image(tmp_path / "photo.tif").stored, np.rot90(PIXELS, -1))


@pytest.mark.parametrize("big", [False, True])
def test_beyond_4_gib(tmp_path, big):
    path = tmp_path / "photo.tif"
    tiff(path, bigtiff=big)
    with path.open("r+b") as file:
        file.truncate(2**32 + 1000)  # sparse
    if big:
        add(path, described())
        assert_described(path)
    else:
        with pytest.raises(struct.error):
            add(path, described())
    np.testing.assert_array_equal(np.asarray(Image.open(path)), PIXELS)


@given(st.data())
def test_broken_exif_does_no_harm(data):
    exif = bytearray(described(data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 8))):
        exif[data.draw(st.integers(6, 300))] = data.draw(st.integers(0, 255))
    image = Image.fromarray(PIXELS[:8, :8])
    image.info["exif"] = bytes(exif[: data.draw(st.integers(0, len(exif)))])
    written = io.BytesIO()
    write_image(image, written, format="tif")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), PIXELS[:8, :8])


def test_values_that_overlap_do_not_fill_the_memory():
    rows = [struct.pack("<HHII", tag, 7, 2**20, 0) for tag in range(1000, 1100)]
    exif = struct.pack("<2sHIH", b"II", 42, 8, len(rows)) + b"".join(rows) + bytes(2**20)
    image = Image.fromarray(PIXELS)
    image.info["exif"] = exif
    written = io.BytesIO()
    write_image(image, written, format="tif")
    assert len(written.getvalue()) < 2**21
