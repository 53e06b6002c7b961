import io
import os
import struct
import subprocess
import sys
import zlib
from inspect import unwrap
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import ExifTags, Image, ImageCms, ImageFile
from skimage.data import astronaut

import wct
from wct import _write
from wct._decode import SRGB
from wct._errors import ImageError
from wct._files import check_target
from wct._image import Picture, read_image, read_size
from wct._pixels import fit, resize, shrink_to
from wct._write import write_image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
PHOTO = astronaut()[100:228, 150:310]

pictures = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda s: (*s, 3)))


def stream(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return buffer


def png(width, height, depth, colour_type, rows, *chunks):
    """A PNG file written by hand."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = b"".join(b"\0" + row for row in rows)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def icc(space, *tags, connection=b"XYZ "):
    """An ICC profile of version 2 for an input device, written by hand."""
    offset, directory, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags:
        directory += struct.pack(">4sII", name, offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + directory + data
    head = struct.pack(">I4xI", 128 + len(body), 0x02400000) + b"scnr" + space + connection
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + body


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


WHITE = (b"wtpt", xyz(0.9642, 1.0, 0.8249))
SRGB_RED, SRGB_GREEN, SRGB_BLUE = (
    xyz(0.4361, 0.2225, 0.0139),
    xyz(0.3851, 0.7169, 0.0971),
    xyz(0.1431, 0.0606, 0.7141),
)
LINEAR_GREY = icc(b"GRAY", WHITE, (b"kTRC", gamma(1)))
# sRGB's primaries with red and blue exchanged, and no curve.
SWAPPED = icc(
    b"RGB ",
    WHITE,
    *((b"rXYZ", SRGB_BLUE), (b"gXYZ", SRGB_GREEN), (b"bXYZ", SRGB_RED)),
    *((name, gamma(1)) for name in (b"rTRC", b"gTRC", b"bTRC")),
)
# A press on which cyan alone prints, and as black: an 8-bit table of the 16 full overprints.
IDENTITY = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).flat)
ONLY_CYAN = icc(
    b"CMYK",
    WHITE,
    (
        b"A2B0",
        b"mft1\0\0\0\0\x04\x03\x02\0"
        + IDENTITY
        + 4 * bytes(range(256))
        + 8 * bytes([255, 128, 128])
        + 8 * bytes([0, 128, 128])
        + 3 * bytes(range(256)),
    ),
    connection=b"Lab ",
)


def srgb_curve(linear):
    linear = np.asarray(linear, np.float64)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def assert_equal(picture, expected, alpha=None, atol=1e-6):
    expected = np.asarray(expected, np.float64)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == expected.shape
    np.testing.assert_allclose(picture.pixels, expected, rtol=0, atol=atol)
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha.dtype == np.float32
        np.testing.assert_allclose(picture.alpha, alpha, rtol=0, atol=1e-6, strict=False)
        assert picture.alpha.shape == expected.shape[:2]


# Arrays


@given(pictures)
def test_uint8_arrays_come_back_bit_for_bit(array):
    picture = read_image(array)
    assert_equal(picture, array / 255)
    back = picture.like(picture.pixels)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array)


@given(arrays(np.float32, (3, 4, 3), elements=st.floats(0, 1, width=32)))
def test_float_arrays_come_back_as_they_are(array):
    picture = read_image(array)
    back = picture.like(picture.pixels)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_of_other_precision_become_float32(dtype):
    assert_equal(read_image(np.full((2, 3, 3), 0.5, dtype)), np.full((2, 3, 3), 0.5))


def test_a_hair_outside_the_range_is_clipped():
    picture = read_image(np.array([[[-0.0009, 0.5, 1.0009]]]))
    np.testing.assert_array_equal(picture.pixels, np.array([[[0, 0.5, 1]]], np.float32))


def test_whatever_numpy_can_look_into_is_an_array():
    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return NOISE

    picture = read_image(Foreign())
    assert picture.kind == "uint8"
    assert_equal(picture, NOISE / 255)


def test_jax_arrays_are_arrays():
    jnp = pytest.importorskip("jax.numpy")
    assert_equal(read_image(jnp.asarray(NOISE) / 255), NOISE / 255)


def test_reading_does_not_change_or_share_the_array():
    array = np.full((2, 2, 3), 0.25, np.float32)
    read_image(array).pixels[:] = 1
    assert (array == 0.25).all()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5), np.float32), r"shape \(4, 5\).*\(height, width, 3\)"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\).*\(height, width, 3\)"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"shape \(1, 4, 5, 3\).*\(height, width, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\).*\(height, width, 3\)"),
        (np.zeros((4, 5, 3), np.int64), "int64.*uint8"),
        (np.zeros((4, 5, 3), bool), "bool.*uint8"),
        (np.zeros((4, 5, 3), complex), "complex128.*uint8"),
        (np.full((4, 5, 3), 255.0), "255 to 255.*divide them by 255, or pass uint8"),
        (np.full((4, 5, 3), -1.0), "-1 to -1.*0 to 1"),
        (np.full((4, 5, 3), 1.002), "1.002.*0 to 1"),
        (np.full((4, 5, 3), np.nan), "NaN"),
        (np.full((4, 5, 3), np.inf), "infinite"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array, said):
    with pytest.raises(ImageError, match=said) as caught:
        read_image(array)
    assert "\n" not in str(caught.value)


def test_arrays_that_cannot_be_had_are_refused():
    class Tensor:
        dtype, shape = "torch.bfloat16", (4, 5, 3)

        def __array__(self):
            raise TypeError("Got unsupported ScalarType BFloat16")

    with pytest.raises(ImageError) as caught:
        read_image(Tensor())
    assert str(caught.value) == (
        "cannot read an array of torch.bfloat16 and shape (4, 5, 3): NumPy cannot look into it: "
        "Got unsupported ScalarType BFloat16"
    )


def test_a_file_that_is_open_as_text(tmp_path):
    Image.new("RGB", (4, 5)).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open() as file, pytest.raises(ImageError) as caught:
        read_image(file)
    assert str(caught.value).endswith("a.png: it is open as text; open it as binary ('rb')")


@pytest.mark.parametrize("thing", [None, 3, [[0.0]], b"\x89PNG"])
def test_things_that_are_no_picture_are_refused(thing):
    with pytest.raises(ImageError, match=f"{type(thing).__name__}.*path"):
        unwrap(read_image)(thing)  # past a run-time checker of types, where one is active


# Files


def test_a_png_file_is_read_bit_for_bit(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(png(7, 5, 8, 2, [row.tobytes() for row in NOISE]).getvalue())
    for source in (path, str(path)):
        picture = read_image(source)
        assert_equal(picture, NOISE / 255)
        back = picture.like(picture.pixels)
        assert isinstance(back, Image.Image)
        assert back.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(back), NOISE)


def test_a_stream_is_read_and_left_open():
    source = stream(Image.fromarray(NOISE), "PNG")
    assert_equal(read_image(source), NOISE / 255)
    assert not source.closed


def test_a_pipe_is_read():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pipe:
        assert pipe.stdin
        assert pipe.stdout
        pipe.stdin.write(stream(Image.fromarray(NOISE), "PNG").getvalue())
        pipe.stdin.close()
        assert_equal(read_image(pipe.stdout), NOISE / 255)


def test_a_pillow_image_stays_usable():
    image = Image.open(stream(Image.fromarray(NOISE), "PNG"))
    assert_equal(read_image(image), NOISE / 255)
    assert image.getpixel((0, 0)) == tuple(NOISE[0, 0])


def test_one_pixel():
    assert_equal(read_image(png(1, 1, 8, 2, [b"\x10\x20\x30"])), [[[16 / 255, 32 / 255, 48 / 255]]])


UPRIGHT = {  # what a viewer does to the stored pixels, by the EXIF standard's tag 0x0112
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = stream(Image.fromarray(NOISE), "PNG", exif=exif)
    assert_equal(read_image(source), UPRIGHT[orientation](NOISE) / 255)
    assert_equal(read_image(Image.open(source)), UPRIGHT[orientation](NOISE) / 255)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_the_size_is_told_upright(tmp_path, kind, orientation):
    path, exif = tmp_path / f"picture.{kind}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE).save(path, exif=exif)
    wanted = UPRIGHT[orientation](NOISE).shape[:2]
    assert read_size(path) == read_image(path).stored.shape[:2] == wanted


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"neither II nor MM", b"II*\0\x08\0\0\0\x09\0"])
def test_broken_exif_does_no_harm(exif):
    assert_equal(read_image(png(1, 1, 8, 2, [b"\0\0\xff"], (b"eXIf", exif))), [[[0, 0, 1]]])
    white = Image.new("RGB", (8, 8), "white")
    assert_equal(read_image(stream(white, "JPEG", exif=b"Exif\0\0" + exif)), np.ones((8, 8)))


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    source = stream(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_equal(read_image(source), np.full((3, 4, 3), [1, 0, 0]))


# Modes

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
ALPHA = np.array([[0, 255, 51], [10, 20, 30]], np.uint8)


def test_grey():
    assert_equal(read_image(Image.fromarray(GREY)), GREY / 255)


def test_grey_with_alpha():
    source = png(
        3, 2, 8, 4, [np.stack(rows, -1).tobytes() for rows in zip(GREY, ALPHA, strict=True)]
    )
    picture = read_image(source)
    assert_equal(picture, GREY / 255, ALPHA / 255)
    back = picture.like(picture.pixels)
    assert isinstance(back, Image.Image)
    assert back.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(back)[..., 3], ALPHA)
    np.testing.assert_array_equal(np.asarray(back)[..., 0], GREY)


def test_colours_under_full_transparency_are_kept():
    rgba = np.dstack([NOISE, np.zeros((5, 7), np.uint8)])
    assert_equal(read_image(Image.fromarray(rgba)), NOISE / 255, np.zeros((5, 7)))


def test_one_bit():
    assert_equal(read_image(png(4, 1, 1, 0, [b"\x50"])), [[0, 1, 0, 1]])


PALETTE = (b"PLTE", bytes([10, 20, 30, 200, 100, 50]))


def test_palette():
    expected = np.array([[[10, 20, 30], [200, 100, 50]]]) / 255
    assert_equal(read_image(png(2, 1, 8, 3, [b"\0\1"], PALETTE)), expected)


@pytest.mark.parametrize(
    ("transparency", "alpha"),
    [(b"\0", [[0, 1]]), (b"\x33\x66", [[0.2, 0.4]]), (b"\xff\0", [[1, 0]])],
)
def test_palette_with_transparency(transparency, alpha):
    expected = np.array([[[10, 20, 30], [200, 100, 50]]]) / 255
    source = png(2, 1, 8, 3, [b"\0\1"], PALETTE, (b"tRNS", transparency))
    assert_equal(read_image(source), expected, alpha)
    assert_equal(read_image(Image.open(source).convert("PA")), expected, alpha)


def test_rgb_with_a_transparent_colour():
    source = png(2, 1, 8, 2, [b"\1\2\3\4\5\6"], (b"tRNS", struct.pack(">3H", 4, 5, 6)))
    assert_equal(read_image(source), np.array([[[1, 2, 3], [4, 5, 6]]]) / 255, [[1, 0]])


def test_premultiplied_alpha_is_divided_out():
    image = Image.frombytes("RGBa", (1, 1), bytes([51, 102, 0, 102]))
    assert_equal(read_image(image), [[[0.5, 1, 0]]], [[0.4]], atol=1 / 255)


def test_cmyk():
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    expected = [[[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]]
    image = Image.frombytes("CMYK", (4, 1), inks.tobytes())
    assert_equal(read_image(image), expected)
    assert_equal(read_image(stream(image, "TIFF")), expected)


def test_rgbx_has_no_alpha():
    image = Image.frombytes("RGBX", (2, 1), bytes([1, 2, 3, 0, 4, 5, 6, 9]))
    assert_equal(read_image(image), np.array([[[1, 2, 3], [4, 5, 6]]]) / 255)


def test_ycbcr():
    image = Image.frombytes("YCbCr", (2, 1), bytes([128, 128, 128, 76, 85, 255]))
    assert_equal(read_image(image), [[[128 / 255] * 3, [1, 0, 0]]], atol=1.5 / 255)


def test_hsv():
    image = Image.frombytes("HSV", (2, 1), bytes([0, 255, 255, 85, 255, 255]))
    assert_equal(read_image(image), [[[1, 0, 0], [0, 1, 0]]])


def test_lab():
    # TIFF's CIELab: L* in 255ths, a* and b* signed; sRGB's red is (54.3, 80.8, 69.9) under D50
    lab = bytes([255, 0, 0, 136, 0, 0, 138, 81, 70])
    image = Image.frombytes("LAB", (3, 1), lab)
    grey = srgb_curve(((136 / 255 * 100 + 16) / 116) ** 3)
    expected = [[[1, 1, 1], [grey] * 3, [1, 0, 0]]]
    assert_equal(read_image(image), expected, atol=6 / 255)
    assert_equal(read_image(stream(image, "TIFF")), expected, atol=6 / 255)


DEEP = np.array([[0, 1, 257], [32767, 65534, 65535]], np.uint16)


@pytest.mark.parametrize(
    "image",
    [
        Image.frombytes("I;16", (3, 2), DEEP.astype("<u2").tobytes()),
        Image.frombytes("I;16L", (3, 2), DEEP.astype("<u2").tobytes()),
        Image.frombytes("I;16B", (3, 2), DEEP.astype(">u2").tobytes()),
        Image.fromarray(DEEP.astype(np.int32)),
        png(3, 2, 16, 0, [row.astype(">u2").tobytes() for row in DEEP]),
        stream(Image.fromarray(DEEP), "TIFF"),
        io.BytesIO(b"P5 3 2 65535 " + DEEP.astype(">u2").tobytes()),
    ],
    ids=["I;16", "I;16L", "I;16B", "I", "png", "tiff", "pgm"],
)
def test_sixteen_bits_keep_their_depth(image):
    assert_equal(read_image(image), DEEP / 65535, atol=1e-7)


def test_sixteen_bits_with_a_transparent_grey():
    rows = [row.astype(">u2").tobytes() for row in DEEP]
    source = png(3, 2, 16, 0, rows, (b"tRNS", struct.pack(">H", 257)))
    assert_equal(read_image(source), DEEP / 65535, [[1, 1, 0], [1, 1, 1]])


def test_floats_in_a_file_are_taken_as_they_are():
    values = np.array([[0, 0.1234567, 1]], np.float32)
    assert_equal(read_image(stream(Image.fromarray(values), "TIFF")), values, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0, 255]], np.float32), "0 to 255.*divide"),
        (np.array([[0, np.nan]], np.float32), "NaN"),
        (np.array([[0, 65536 * 2]], np.int32), "131072.*0 to 65535"),
        (np.array([[-500, 0]], np.int32), "-500.*0 to 65535"),
    ],
)
def test_deep_grey_out_of_range_is_refused(values, said):
    with pytest.raises(ImageError, match=said):
        read_image(Image.fromarray(values))


def test_a_pillow_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match="empty"):
        read_image(Image.new("RGB", (0, 4)))


# Colour profiles

RED_GREEN_BLUE_GREY = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]], np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_rgb_profile_is_applied(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    source = stream(Image.fromarray(RED_GREEN_BLUE_GREY), kind, icc_profile=SWAPPED, **options)
    expected = srgb_curve(RED_GREEN_BLUE_GREY[..., ::-1] / 255)
    assert_equal(read_image(source), expected, atol=2 / 255)


def test_a_profile_spares_alpha():
    rgba = np.dstack([RED_GREEN_BLUE_GREY, np.array([[0, 1, 128, 255]], np.uint8)])
    source = stream(Image.fromarray(rgba), "PNG", icc_profile=SWAPPED)
    expected = srgb_curve(RED_GREEN_BLUE_GREY[..., ::-1] / 255)
    assert_equal(read_image(source), expected, np.array([[0, 1, 128, 255]]) / 255, atol=2 / 255)


def test_a_profile_is_applied_to_a_palette():
    source = png(2, 1, 8, 3, [b"\0\1"], (b"iCCP", b"p\0\0" + zlib.compress(SWAPPED)), PALETTE)
    expected = srgb_curve(np.array([[[30, 20, 10], [50, 100, 200]]]) / 255)
    assert_equal(read_image(source), expected, atol=2 / 255)


def test_a_grey_profile_is_applied():
    source = stream(Image.fromarray(GREY), "PNG", icc_profile=LINEAR_GREY)
    assert_equal(read_image(source), srgb_curve(GREY / 255), atol=2 / 255)


def test_a_grey_profile_is_applied_beside_alpha():
    image = Image.merge("LA", [Image.fromarray(each) for each in (GREY, ALPHA)])
    found = read_image(stream(image, "PNG", icc_profile=LINEAR_GREY))
    assert_equal(found, srgb_curve(GREY / 255), ALPHA / 255, atol=2 / 255)


def test_a_grey_profile_is_applied_to_sixteen_bits():
    ramp = np.arange(20000, 60000, 100, dtype=np.uint16)[None]
    picture = read_image(stream(Image.fromarray(ramp), "PNG", icc_profile=LINEAR_GREY))
    assert_equal(picture, srgb_curve(ramp / 65535), atol=2 / 255)
    assert len(np.unique(picture.pixels)) > 250  # of 400; 8 bits have 96 in this range


def test_a_cmyk_profile_is_applied():
    inks = np.array([[[0, 0, 0, 0], [0, 255, 255, 255], [255, 0, 0, 0], [128, 9, 9, 9]]], np.uint8)
    image = Image.frombytes("CMYK", (4, 1), inks.tobytes())
    grey = srgb_curve(((127 / 255 * 100 + 16) / 116) ** 3)
    expected = np.array([[1, 1, 0, grey]])
    assert_equal(read_image(stream(image, "TIFF", icc_profile=ONLY_CYAN)), expected, atol=3 / 255)
    assert_equal(read_image(stream(image, "TIFF", icc_profile=SWAPPED)), read_image(image).pixels)


def test_a_lab_profile_is_applied_and_others_are_not():
    image = Image.frombytes("LAB", (1, 1), bytes([136, 20, 40]))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    expected = read_image(image).pixels
    for profile in (own, SWAPPED):
        assert_equal(read_image(stream(image, "TIFF", icc_profile=profile)), expected)


@pytest.mark.parametrize("profile", [b"", b"no profile", SWAPPED[:200], LINEAR_GREY])
def test_a_profile_that_is_broken_or_does_not_fit_is_ignored(profile):
    image = Image.fromarray(NOISE)
    image.info["icc_profile"] = profile
    assert_equal(read_image(image), NOISE / 255)


# What cannot be read


def test_a_missing_file(tmp_path):
    path = tmp_path / "missing.png"
    with pytest.raises(ImageError, match=r"missing\.png: there is no such file") as caught:
        read_image(path)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("error", [IsADirectoryError, PermissionError])
def test_a_directory(tmp_path, monkeypatch, error):
    """For which Windows has the other error."""

    def fail(path, *_):
        raise error(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(ImageError, match=f"{tmp_path.name}: it is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is text, whatever its name says"])
def test_a_file_that_is_no_image(tmp_path, content):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"text\.png: it is no image"):
        read_image(path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match=r"secret\.png: Permission denied"):
        read_image(tmp_path / "secret.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_file(tmp_path, kind):
    data = stream(Image.fromarray(PHOTO), kind).getvalue()
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) // 2])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(ImageError, match=r"cut: it is (damaged or incomplete|no image)") as caught:
        read_image(path)
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_a_truncated_pillow_image():
    data = stream(Image.fromarray(PHOTO), "JPEG").getvalue()
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(Image.open(io.BytesIO(data[: len(data) // 2])))


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_file_is_a_picture_or_an_image_error(data):
    damaged = bytearray(stream(Image.fromarray(NOISE), "PNG").getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        picture = read_image(io.BytesIO(damaged))
    except ImageError:
        return  # and nothing else
    assert picture.pixels.shape[2] == 3
    assert np.isfinite(picture.pixels).all()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("limit", [34, 10])  # 35 pixels: beyond the limit, and beyond twice that
def test_a_decompression_bomb(monkeypatch, limit, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=f"more than {limit} pixels.*MAX_IMAGE_PIXELS"):
        read_image(stream(Image.fromarray(NOISE), "PNG"))
    assert not recwarn


def test_a_large_picture_within_the_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35)
    assert_equal(read_image(stream(Image.fromarray(NOISE), "PNG")), NOISE / 255)


# Giving back


def test_results_are_rounded_and_clipped():
    values = np.array([[[0.5 / 255 + 1e-4, 1.49 / 255, 254.51 / 255], [-0.5, 1.5, 0.25]]])
    expected = [[[1, 1, 255], [0, 255, 64]]]
    np.testing.assert_array_equal(read_image(NOISE).like(values), expected)
    np.testing.assert_array_equal(
        np.asarray(read_image(Image.fromarray(NOISE)).like(values)), expected
    )
    back = read_image(NOISE / 255).like(values)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, np.clip(values, 0, 1), atol=1e-7)


def test_alpha_follows_the_size_of_the_result():
    alpha = np.zeros((4, 4), np.uint8)
    alpha[:, 2:] = 255
    picture = read_image(Image.fromarray(np.dstack([np.zeros((4, 4, 3), np.uint8), alpha])))
    back = picture.like(np.zeros((8, 16, 3)))
    assert isinstance(back, Image.Image)
    assert back.size == (16, 8)
    resized = np.asarray(back)[..., 3]
    assert (resized[:, :5] < 30).all()
    assert (resized[:, -5:] > 225).all()


def test_a_result_of_another_size_keeps_the_kind():
    assert read_image(NOISE).like(np.zeros((2, 3, 3))).shape == (2, 3, 3)


def test_a_picture_is_frozen():
    with pytest.raises(AttributeError):
        read_image(NOISE).kind = "float"


# Resizing


@given(pictures)
def test_the_same_size_is_the_identity(array):
    pixels = read_image(array).pixels
    np.testing.assert_array_equal(resize(pixels, pixels.shape[:2]), pixels)


@given(
    st.floats(0, 1, width=32),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_one_colour_stays_that_colour(value, old, new):
    resized = resize(np.full((*old, 3), value, np.float32), new)
    assert resized.shape == (*new, 3)
    np.testing.assert_allclose(resized, value, rtol=0, atol=1e-5)


def lanczos(old, new):
    """The matrix of Lanczos' filter with three lobes, widened by the factor of reduction."""
    scale = max(old / new, 1)
    centres = (np.arange(new) + 0.5) * old / new
    x = (np.arange(old) + 0.5 - centres[:, None]) / scale
    weights = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(64, 40), (200, 300), (128, 41), (1, 1)])
def test_resampling_is_lanczos_without_rounding(size):
    pixels = (PHOTO / 255).astype(np.float32)
    rows, columns = lanczos(128, size[0]), lanczos(160, size[1])
    expected = np.moveaxis(rows @ np.moveaxis(pixels, 2, 0) @ columns.T, 0, 2)
    resized = resize(pixels, size)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, np.clip(expected, 0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(150, 40), (901, 160), (3, 41), (2000, 40), (20, 41)])
def test_resampling_of_tall_pictures_goes_by_strips(size):
    pixels = np.random.default_rng(0).integers(0, 256, (768, 160, 3), np.uint8)
    rows, columns = lanczos(768, size[0]), lanczos(160, size[1])
    expected = np.moveaxis(rows @ np.moveaxis(pixels / 255, 2, 0) @ columns.T, 0, 2)
    np.testing.assert_allclose(resize(pixels, size), np.clip(expected, 0, 1), rtol=0, atol=1e-4)


def test_resampling_stays_in_range():
    edge = np.zeros((16, 16, 3), np.float32)
    edge[:, 8:] = 1
    resized = resize(edge, (50, 50))
    assert resized.min() == 0
    assert resized.max() == 1


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 2000))
def test_fit(height, width, longest):
    new_height, new_width = fit((height, width), longest)
    assert max(new_height, new_width) == longest
    assert min(new_height, new_width) >= 1
    exact = (height * longest / max(height, width), width * longest / max(height, width))
    assert abs(new_height - max(exact[0], 1)) <= 0.5
    assert abs(new_width - max(exact[1], 1)) <= 0.5


def test_shrinking():
    pixels = (PHOTO / 255).astype(np.float32)  # 128 × 160
    for longest, other in ((80, 64), (140, 112)):
        assert shrink_to(pixels, longest).shape == (other, longest, 3)
        assert shrink_to(pixels.swapaxes(0, 1), longest).shape == (longest, other, 3)
    for longest in (160, 161, 10_000):
        np.testing.assert_array_equal(shrink_to(pixels, longest), pixels)


# Writing

TOLERANCE = {"png": 0, "PNG": 0, "tif": 0, "TIFF": 0, "webp": 4, "jpg": 4, "Jpeg": 4, "avif": 4}


@pytest.mark.parametrize("suffix", TOLERANCE)
@pytest.mark.parametrize("to", ["file", "str", "stream"])
def test_every_format_is_written(tmp_path, suffix, to):
    image = Image.fromarray(PHOTO)
    if to == "stream":
        source = io.BytesIO()
        write_image(image, source, format=suffix)
        assert not source.closed
        source.seek(0)
    else:
        source = tmp_path / f"picture.{suffix}"
        write_image(image, source if to == "file" else str(source))
        assert [path.name for path in tmp_path.iterdir()] == [source.name]
    with Image.open(source) as written:
        kind = {"jpg": "jpeg", "tif": "tiff"}.get(suffix.lower(), suffix.lower())
        assert written.format == kind.upper()
        profile = ImageCms.ImageCmsProfile(io.BytesIO(written.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        error = abs(np.asarray(written.convert("RGB"), int) - PHOTO)
    assert error.mean() <= TOLERANCE[suffix]
    np.testing.assert_array_equal(  # the profile changes nothing when the file is read again
        np.rint(read_image(source).pixels * 255), np.asarray(Image.open(source).convert("RGB"))
    )


def test_jpeg_keeps_the_full_resolution_of_colour():
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = [255, 0, 0]
    stripes[:, 1::2] = [0, 0, 255]
    buffer = io.BytesIO()
    write_image(Image.fromarray(stripes), buffer, format="jpg")
    error = abs(np.asarray(Image.open(buffer), int) - stripes)
    assert error.mean() < 10  # 4:2:0 averages the stripes to purple


RGBA = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
RGBA[:64, :, 3] = 102


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "avif"])
def test_alpha_is_written(suffix):
    buffer = io.BytesIO()
    write_image(Image.fromarray(RGBA), buffer, format=suffix)
    with Image.open(buffer) as written:
        assert written.mode == "RGBA"
        error = abs(np.asarray(written, int) - RGBA)
    assert error[..., 3].max() <= 2


def test_jpeg_shows_transparency_on_white():
    buffer = io.BytesIO()
    write_image(Image.fromarray(RGBA), buffer, format="jpeg")
    alpha = RGBA[..., 3:] / 255
    expected = alpha * PHOTO + (1 - alpha) * 255
    assert abs(np.asarray(Image.open(buffer)) - expected).mean() < 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_other_modes_are_written(mode):
    buffer = io.BytesIO()
    write_image(Image.new(mode, (3, 2)), buffer, format="jpg")
    assert Image.open(buffer).size == (3, 2)


@pytest.mark.parametrize("values", [np.uint16([[0, 257, 65535]]), np.float32([[0, 1 / 255, 1]])])
def test_deep_grey_is_written_as_it_looks(values):
    buffer = io.BytesIO()
    write_image(Image.fromarray(values), buffer, format="png")
    np.testing.assert_array_equal(np.asarray(Image.open(buffer))[0, :, 0], [0, 1, 255])


def test_equal_pictures_are_equal_files():
    script = (
        "import io, sys; from PIL import Image; from wct._write import write_image; "
        "write_image(Image.new('RGB', (2, 2)), sys.stdout.buffer, format='png')"
    )
    root = Path(__file__).parents[1]
    runs = []
    for zone in ("UTC", "Asia/Tokyo"):  # a profile with a date in it would tell
        environment = {**os.environ, "TZ": zone, "PYTHONPATH": str(root)}
        runs.append(subprocess.check_output([sys.executable, "-c", script], env=environment))
    assert runs[0] == runs[1]
    profile = Image.open(io.BytesIO(runs[0])).info["icc_profile"]
    assert struct.unpack(">3H", profile[24:30]) == (2000, 1, 1)


@pytest.mark.parametrize("name", ["picture.xyz", "picture", "picture.gif"])
def test_an_unknown_suffix(tmp_path, name):
    with pytest.raises(ImageError, match=rf"{name}: .*png, jpg, jpeg, webp, avif, tif, tiff"):
        write_image(Image.fromarray(NOISE), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_stream_needs_a_format():
    buffer = io.BytesIO()
    with pytest.raises(ImageError, match="format"):
        write_image(Image.fromarray(NOISE), buffer)
    assert not buffer.getvalue()


def test_a_format_that_pillow_was_built_without_is_told_before_the_work(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE, "AVIF")
    with pytest.raises(ImageError, match=r"cannot write .*to\.avif: Pillow was built without AVIF"):
        wct.stylize("missing.png", "missing.png", output=tmp_path / "to.avif")


def test_the_format_outranks_the_suffix(tmp_path):
    write_image(Image.fromarray(NOISE), tmp_path / "picture.bin", format="PNG")
    with Image.open(tmp_path / "picture.bin") as written:
        assert written.format == "PNG"


@pytest.fixture(params=[True, False], ids=["hard links", "no hard links"])
def links(request, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    if not request.param:
        monkeypatch.setattr(os, "link", refuse)
    return request.param


@pytest.mark.usefixtures("links")
def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"picture\.png exists.*overwrite=True, --overwrite"):
        write_image(Image.fromarray(NOISE), path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]
    write_image(Image.fromarray(NOISE), path, overwrite=True)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), NOISE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_nowhere_is_a_name_that_is_taken(tmp_path):
    """It is said before the work, as the name could not be given after it."""
    path = tmp_path / "picture.png"
    path.symlink_to("nowhere")
    with pytest.raises(ImageError, match="exists already"):
        check_target(path, overwrite=False)
    check_target(path, overwrite=True)


@pytest.mark.usefixtures("links")
def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    save = Image.Image.save

    def slow_save(*args, **kwargs):
        save(*args, **kwargs)
        path.write_bytes(b"precious")

    monkeypatch.setattr(Image.Image, "save", slow_save)
    with pytest.raises(ImageError, match="exists"):
        write_image(Image.fromarray(NOISE), path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("links")
def test_new_files_have_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_image(Image.fromarray(NOISE), tmp_path / "picture.png")
    finally:
        os.umask(before)
    assert (tmp_path / "picture.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["encoding", "writing", "renaming"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, links, overwrite, error, where):
    path = tmp_path / "picture.png"
    if overwrite:
        path.write_bytes(b"precious")
    before = [item.name for item in tmp_path.iterdir()]

    def fail(*args, **kwargs):
        raise error

    def save_half(image, target, *args, **kwargs):
        target.write(b"half")
        fail()

    class Half(io.FileIO):
        def write(self, data):
            super().write(bytes(data)[:10])
            raise error

    if where == "encoding":
        monkeypatch.setattr(Image.Image, "save", save_half)
    elif where == "writing":
        monkeypatch.setattr(Path, "open", lambda path, mode: Half(path, mode))
    else:
        monkeypatch.setattr(Path, "replace", fail)
        if links:
            monkeypatch.setattr(os, "link", fail)
    with pytest.raises((ImageError, KeyboardInterrupt)) as caught:
        write_image(Image.fromarray(NOISE), path, overwrite=overwrite)
    assert isinstance(error, KeyboardInterrupt) == isinstance(caught.value, KeyboardInterrupt)
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == before
    assert not overwrite or path.read_bytes() == b"precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_missing_directory(tmp_path, overwrite):
    with pytest.raises(ImageError, match=r"picture\.png: there is no directory .*missing"):
        write_image(
            Image.fromarray(NOISE), tmp_path / "missing" / "picture.png", overwrite=overwrite
        )
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"there is no directory .*file$"):
        write_image(Image.fromarray(NOISE), tmp_path / "file" / "picture.png")


@pytest.mark.parametrize(
    ("name", "words"), [(300 * "a" + ".png", "File name too long"), ("a\0.png", "null")]
)
def test_a_name_that_cannot_be(tmp_path, name, words):
    said = f"cannot write .*{words}.*; choose another name"
    with pytest.raises(ImageError, match=said):
        check_target(tmp_path / name, overwrite=False)
    with pytest.raises(ImageError, match=said):
        write_image(Image.fromarray(NOISE), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_picture_too_large_for_its_format(tmp_path):
    with pytest.raises(ImageError, match=r"picture\.webp.*another"):
        write_image(Image.new("RGB", (16384, 1)), tmp_path / "picture.webp")
    assert not list(tmp_path.iterdir())


def test_a_picture_survives_a_file(tmp_path):
    picture = read_image(Image.fromarray(RGBA))
    image = picture.like(picture.pixels)
    assert isinstance(image, Image.Image)
    write_image(image, tmp_path / "picture.png")
    again = read_image(tmp_path / "picture.png")
    assert isinstance(again, Picture)
    assert_equal(again, PHOTO / 255, RGBA[..., 3] / 255)


def test_importing_does_not_import_jax():
    script = "import wct._write, sys; assert 'jax' not in sys.modules, 'imports jax'"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def described():
    """What a camera says of a picture, which lies on its side."""
    about = Image.Exif()
    about[ExifTags.Base.Artist] = "A. Painter"
    about[ExifTags.Base.Orientation] = 6
    about.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    about.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return {"exif": about.tobytes(), "dpi": (300, 300)}


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("target", ["jpg", "png", "tif", "webp"])
def test_what_is_known_of_a_picture_is_kept(source, target):
    picture = read_image(stream(Image.fromarray(PHOTO), source, **described()))
    written = io.BytesIO()
    write_image(picture.like(picture.pixels), written, format=target)
    image = Image.open(written)
    found = image.getexif()
    assert found[ExifTags.Base.Artist] == "A. Painter"
    assert found.get(ExifTags.Base.Orientation, 1) == 1
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    if "WEBP" not in (source, target.upper()):  # which has no resolution
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert image.size == PHOTO.shape[:2]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_picture_keeps_its_profile(mode, kind):
    """It is converted to sRGB and back: what is stored is what it was, but for rounding."""
    source = Image.fromarray(PHOTO).convert(mode)
    picture = read_image(stream(source, kind, icc_profile=SWAPPED))
    assert np.abs(picture.pixels - PHOTO / 255).max() > 0.2
    written = io.BytesIO()
    write_image(picture.like(picture.pixels), written, format=kind[:4].lower())
    found = Image.open(written)
    assert found.info["icc_profile"] == SWAPPED
    assert found.mode == mode
    assert np.abs(np.int16(found.convert("RGB")) - PHOTO).max() <= 4
    np.testing.assert_allclose(read_image(written).pixels, picture.pixels, atol=5 / 255)


@pytest.mark.parametrize(
    ("source", "profile"), [(PHOTO, SRGB.tobytes()), (PHOTO, LINEAR_GREY), (GREY, SWAPPED)]
)
def test_a_profile_of_no_use_for_the_result_is_not_kept(source, profile):
    """As sRGB's own, which is written anyway, and one of grey."""
    found = read_image(stream(Image.fromarray(source), "PNG", icc_profile=profile))
    assert "profile" not in found.about


def test_a_profile_that_can_only_be_read_by_is_not_written():
    """As a scanner's, by a table from its colours alone: here they are Lab's."""
    corners = bytes(255 * ((i >> shift) & 1) for i in range(8) for shift in (2, 1, 0))
    curves = 3 * bytes(range(256))
    table = b"mft1\0\0\0\0\x03\x03\x02\0" + IDENTITY + curves + corners + curves
    scanner = icc(b"RGB ", WHITE, (b"A2B0", table), connection=b"Lab ")
    picture = read_image(stream(Image.fromarray(PHOTO), "PNG", icc_profile=scanner))
    assert picture.about["profile"] == scanner
    written = io.BytesIO()
    write_image(picture.like(picture.pixels), written, format="png")
    assert np.abs(read_image(written).pixels - picture.pixels).max() <= 1 / 255
    assert Image.open(written).info["icc_profile"] == _write.SRGB_BYTES


@pytest.mark.parametrize("target", ["jpg", "png", "tif", "webp"])
def test_text_beyond_ascii_is_kept(target):
    about, name = Image.Exif(), "Jürgen Müller"
    about[ExifTags.Base.Artist] = name.encode()
    picture = read_image(stream(Image.fromarray(PHOTO), "JPEG", exif=about.tobytes()))
    written = io.BytesIO()
    write_image(picture.like(picture.pixels), written, format=target)
    found = Image.open(written).getexif()[ExifTags.Base.Artist]
    assert found.encode("latin-1").decode() == name


def test_a_transparent_picture_as_jpeg_keeps_what_is_known():
    exif = described()["exif"]
    source = stream(Image.fromarray(RGBA), "PNG", exif=exif, dpi=(300, 300), icc_profile=SWAPPED)
    picture, written = read_image(source), io.BytesIO()
    write_image(picture.like(picture.pixels), written, format="jpg")
    image = Image.open(written)
    assert image.getexif()[ExifTags.Base.Artist] == "A. Painter"
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert image.info["icc_profile"] == SWAPPED


def test_broken_exif_is_left_out():
    picture = read_image(stream(Image.fromarray(PHOTO), "PNG", exif=b"Exif\x00\x00no such thing"))
    assert "exif" not in picture.about


def test_xmp_that_turns_the_picture_again_is_left_out():
    for tag, kept in (("Make", True), ("Orientation", False)):
        xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:{tag}="6"/></x:xmpmeta>'.encode()
        picture = read_image(stream(Image.fromarray(PHOTO), "JPEG", xmp=xmp))
        assert picture.about.get("xmp") == (xmp if kept else None)


@pytest.mark.parametrize("name", ["exif", "xmp"])
def test_a_jpeg_is_written_without_what_it_has_no_room_for(name):
    about, written = Image.Exif(), io.BytesIO()
    about.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    large = {"exif": about.tobytes(), "xmp": bytes(70_000)}
    image = Image.fromarray(PHOTO)
    image.info.update({name: large[name], "dpi": (300, 300)})
    write_image(image, written, format="jpg")
    found = Image.open(written)
    assert name not in found.info
    assert found.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize(("spare", "head"), [(-1, b"II+"), (0, b"II*")])
def test_tiff_beyond_its_limit_is_bigtiff(monkeypatch, spare, head):
    """Pixels are counted as four bytes each, which they take with opacity."""
    monkeypatch.setattr(_write, "_TIFF_SIZE", 4 * 128 * 160 + spare)
    written = io.BytesIO()
    write_image(PHOTO, written, format="tif")
    assert written.getvalue()[:3] == head
    np.testing.assert_array_equal(np.asarray(Image.open(written)), PHOTO)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "avif"])
def test_xmp_is_kept(suffix):
    image = Image.new("RGB", (4, 4))
    image.info["xmp"] = "<x:xmpmeta>é</x:xmpmeta>".encode()
    stream = io.BytesIO()
    write_image(image, stream, format=suffix)
    assert Image.open(stream).info["xmp"] == image.info["xmp"]


@pytest.fixture
def heic(tmp_path):
    """A photograph as telephones store it: on its side."""
    image = Image.fromarray(PHOTO[:48, :72])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Maker"
    pillow_heif.register_heif_opener()
    image.save(tmp_path / "photo.heic", quality=-1, chroma=444, exif=exif.tobytes())
    return tmp_path / "photo.heic", np.rot90(PHOTO[:48, :72], -1)


def test_heic(heic):
    file, wanted = heic
    found = read_image(file)
    assert read_size(file) == found.pixels.shape[:2] == (72, 48)
    assert np.abs(found.pixels * 255 - wanted).max() < 4
    with file.open("rb") as stream:
        np.testing.assert_array_equal(read_image(stream).pixels, found.pixels)
    buffer = io.BytesIO()
    wct.write_image(found.like(found.pixels), buffer, format="jpg")
    assert dict(Image.open(buffer).getexif()) == {ExifTags.Base.Make: "Maker"}


def test_without_what_reads_heic_it_is_named(heic):
    script = f"""
import sys
sys.modules["pillow_heif"] = None
import wct
try:
    wct.read_image({str(heic[0])!r})
except wct.ImageError as error:
    print(error, end="")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("PNG or JPEG first, or, if it is HEIC, pip install pillow-heif")


def test_what_heic_cannot_be_is_damaged(heic, tmp_path):
    (tmp_path / "cut.heic").write_bytes(heic[0].read_bytes()[:300])
    with pytest.raises(ImageError, match=r"cannot read .*cut\.heic: ") as caught:
        read_image(tmp_path / "cut.heic")
    assert "pillow-heif" not in str(caught.value)
