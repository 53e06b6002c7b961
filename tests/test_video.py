"""Videos: pictures measured together, and files of frames."""

import sys
from fractions import Fraction

import av
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from click.testing import CliRunner
from conftest import picture
from PIL import Image
from test_motion import scene
from videos import read, sound, write

import wct
from wct import _film, _steady, _video
from wct._cli import main
from wct._color import match_colors, to_oklab
from wct._errors import ImageError, WctError
from wct._pixels import to_bytes
from wct._recipe import Recipe
from wct._shift import shifted

HEIGHT, WIDTH = 48, 64
STYLE = picture(40, 48, 2)
QUICK = Recipe((1.0, 0.8), levels=(3, 1))


def moving(length, height=HEIGHT, width=WIDTH):
    """Frames of 8 bits, smooth: something bright comes into a picture from the right."""
    coarse = Image.fromarray(np.uint8(255 * picture(height // 8, width // 8, 1)))
    frames = [np.array(coarse.resize((width, height), 3)) for _ in range(length)]
    for count, frame in enumerate(frames):
        frame[height // 2 :, width - 2 * count :] = (250, 220, 40)
    return frames


@pytest.fixture
def clip(tmp_path):
    return write(tmp_path / "clip.mp4", moving(6), sound="aac")


@pytest.fixture
def art(tmp_path):
    Image.fromarray(np.uint8(255 * STYLE)).save(tmp_path / "art.png")
    return tmp_path / "art.png"


@pytest.fixture(scope="module")
def style(tiny):
    return tiny.read_style(STYLE)


# Measured together


@pytest.mark.parametrize("name", ["wct", "ot"])
def test_pictures_are_measured_as_if_they_were_one(tiny, tensors, style, name):
    formula = {"wct": oracle.whiten_and_color, "ot": oracle.optimal_transport}[name]
    recipe = Recipe((1.0, 0.8, 0.7), levels=(3, 2, 1), transform=name)
    pictures = [picture(48, 64, 3), picture(41, 50, 4), picture(48, 64, 5)]
    wanted, worst = oracle.chain_of_all(
        tensors, pictures, STYLE, recipe.alpha, recipe.levels, None, formula
    )
    assert worst < 4000
    measured = tiny.measure(pictures, style, recipe)
    for image, result in zip(pictures, wanted, strict=True):
        found = tiny(image[None], style, recipe, measured=measured)
        np.testing.assert_allclose(found[0], result.clip(0, 1), rtol=0, atol=2e-3)
        alone = tiny(image[None], style, recipe)
        assert np.abs(found - alone).mean() > 0.01


def test_one_picture_measured_is_itself(tiny, style):
    image = picture(48, 64, 1)
    measured = tiny.measure([image], style)
    np.testing.assert_array_equal(
        tiny(image[None], style, measured=measured), tiny(image[None], style)
    )


def test_where_nothing_changes_the_result_is_the_same(tiny, style):
    frames = [frame / np.float32(255) for frame in moving(4, 96, 320)]
    measured = tiny.measure(frames, style, QUICK)
    together = [tiny(frame[None], style, QUICK, measured=measured) for frame in frames]
    alone = [tiny(frame[None], style, QUICK) for frame in frames]
    still = (0, slice(None), slice(0, 256))  # beyond what level 3 sees of the rest
    assert max(np.abs(one[still] - together[0][still]).max() for one in together) < 1e-6
    assert max(np.abs(one[still] - alone[0][still]).max() for one in alone) > 0.01


def test_batches_and_programs_take_measured_moments(tiny, style):
    frames = np.stack([picture(48, 64, seed) for seed in (1, 2, 3)])
    measured = tiny.measure(frames, style, QUICK)
    wanted = [tiny(frame[None], style, QUICK, measured=measured)[0] for frame in frames]
    found = tiny(frames, style, QUICK, measured=measured)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    compiled = jax.jit(lambda images: tiny(images, style, QUICK, measured=measured))
    np.testing.assert_allclose(compiled(frames), wanted, rtol=0, atol=1e-4)


def test_pictures_of_any_kind_are_measured(tiny, style, tmp_path):
    values = moving(1)[0]
    Image.fromarray(values).save(tmp_path / "frame.png")
    floats = values / np.float32(255)
    wanted = tiny.measure([values], style, QUICK)
    for other in (floats, jnp.asarray(floats), Image.fromarray(values), tmp_path / "frame.png"):
        for one, two in zip(tiny.measure([other], style, QUICK), wanted, strict=True):
            np.testing.assert_allclose(one.covariance, two.covariance, rtol=1e-5, atol=1e-6)


def test_moments_that_do_not_fit_are_refused(tiny, style):
    image, masks = picture(48, 64, 1)[None], np.ones((1, 48, 64), bool)
    measured = tiny.measure(image, style, QUICK)
    with pytest.raises(WctError, match=r"what `measure` returns for the levels \[5, 4, 3, 2, 1\]"):
        tiny(image, style, measured=measured)
    with pytest.raises(WctError, match=r"levels \[1, 3\]"):
        tiny(image, style, Recipe(levels=(1, 3)), measured=measured)
    with pytest.raises(WctError, match="masks or measured"):
        tiny(image, wct.stack_styles([style]), QUICK, masks=masks, measured=measured)
    with pytest.raises(WctError, match="there are no pictures to measure"):
        tiny.measure([], style)
    with pytest.raises(WctError, match="no style for 1 pictures"):
        tiny.measure(image, wct.stack_styles([style, style]))
    with pytest.raises(ImageError, match="the shape must be"):
        tiny.measure([np.zeros((3, 4), np.uint8)], style)


# Files


def test_each_frame_is_repainted_by_what_all_are_like(tiny, style, clip, art, tmp_path):
    shares = []
    output = tmp_path / "out.mov"
    wct.stylize_video(clip, art, (1.0, 0.8), output=output, levels=(3, 1), preset="paper",
                      noise=0, model=tiny, progress=shares.append)  # fmt: skip
    frames, times = read(clip)
    found, found_times = read(output)
    assert found_times == times == pytest.approx([count / 25 for count in range(6)])
    style = wct.read_style(art, model=tiny)
    measured = tiny.measure(frames, style, QUICK)

    def paint(frame):  # which is still: it lies in the middle of a canvas
        canvas = np.pad(frame / np.float32(255), ((8, 8), (8, 8), (0, 0)), mode="reflect")
        [painted] = tiny(canvas[None], style, QUICK, measured=measured)
        return to_bytes(np.asarray(painted)[8:-8, 8:-8])

    _film.rewrite(clip, tmp_path / "wanted.mkv", paint, overwrite=False)
    for wanted, result in zip(read(tmp_path / "wanted.mkv")[0], found, strict=True):
        np.testing.assert_allclose(wanted, result, rtol=0, atol=8)
        assert np.abs(wanted - np.float32(result)).mean() < 0.2
    assert shares == pytest.approx([count / 6 for count in range(1, 7)])
    assert sound(output) == sound(clip) != []
    names = ["art.png", "clip.mp4", "out.mov", "wanted.mkv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def halved(pixels):
    """Averages of squares of four pixels, which have one colour in 4:2:0."""
    height, width, _ = pixels.shape
    return np.asarray(pixels).reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))


def negative(source, target):
    """Write a video anew with the complements of its frames."""
    _film.rewrite(source, target, lambda frame: 255 - frame, overwrite=False)
    return target


def assert_negative(found, frames, within=5.0):
    for one, two in zip(found, frames, strict=True):
        assert np.abs(255.0 - one - two).mean() < within


def test_frames_keep_their_times(tmp_path):
    base, times = Fraction(1, 1000), [500, 533, 700, 1200, 1233, 1266]
    source = write(tmp_path / "in.mp4", moving(6), times=times, base=base, sound="aac")
    target = negative(source, tmp_path / "out.mp4")
    assert read(target)[1] == pytest.approx([time / 1000 for time in times])
    assert_negative(read(target)[0], moving(6))
    assert sound(target) == sound(source)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), 24, 12])
def test_rates(tmp_path, rate):
    target = negative(write(tmp_path / "in.mp4", moving(5), rate=rate), tmp_path / "out.mov")
    with av.open(str(target)) as film:
        assert film.streams.video[0].average_rate == rate
    assert read(target)[1] == pytest.approx([float(count / rate) for count in range(5)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in.h264", {"container": "h264"}),
        ("in.avi", {"codec": "mpeg4", "sound": "mp2"}),
        ("in.webm", {"codec": "libvpx-vp9"}),
        ("in.mkv", {"codec": "ffv1", "pixels": "yuv444p", "sound": "pcm_s16le"}),
        ("in.gif", {"codec": "gif", "pixels": "rgb8"}),
        ("in.mov", {"codec": "mpeg4", "sound": "alac"}),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".MKV", ".mov", ".m4v"])
def test_formats(tmp_path, name, options, suffix):
    source = write(tmp_path / name, moving(4), **options)
    target = negative(source, tmp_path / f"out{suffix}")
    assert_negative(map(halved, read(target)[0]), map(halved, read(source)[0]))
    assert read(target)[1] == pytest.approx([count / 25 for count in range(4)])
    if "sound" in options:  # cut elsewhere, if there is nothing to it but samples
        parts, wanted = ([part for part, _ in sound(path)] for path in (target, source))
        assert b"".join(parts) == b"".join(wanted) != b""


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_frames_come_upright(tmp_path, turned):
    source = write(tmp_path / "in.mp4", moving(3), turned=turned, aspect=Fraction(4, 3))
    target = negative(source, tmp_path / "out.mp4")
    assert_negative(read(target)[0], [np.rot90(frame, turned // 90) for frame in moving(3)])
    with av.open(str(target)) as film:
        assert next(film.decode(video=0)).rotation == 0
        wanted = Fraction(4, 3) if turned == 180 else Fraction(3, 4)
        assert film.streams.video[0].sample_aspect_ratio == wanted


def test_an_odd_side_gets_a_pixel(tmp_path):
    frames = [frame[:47, :63] for frame in moving(3)]
    source = write(tmp_path / "in.mkv", frames, codec="ffv1", pixels="yuv444p")
    found, _ = read(negative(source, tmp_path / "out.mp4"))
    assert found[0].shape == (48, 64, 3)
    assert_negative([frame[:47, :63] for frame in found], frames)
    assert np.abs(np.float32(found[0][:, 63]) - found[0][:, 62]).mean() < 5


COLORS = [(200, 30, 40), (30, 180, 60), (40, 50, 220), (250, 240, 20), (128, 128, 128), (0, 0, 0)]


@pytest.mark.parametrize(("colors", "height"), [(1, 48), (5, 48), (1, 720), (None, 48)])
def test_colours_are_those_of_the_file(tmp_path, colors, height):
    """BT.709, BT.601, and none said, which is BT.601 of what is small."""
    frame = np.concatenate([np.full((height, 32, 3), each, np.uint8) for each in COLORS], axis=1)
    source = write(tmp_path / "in.mp4", [frame] * 2, colors=colors)
    assert np.abs(np.float32(next(_film.read_frames(source))) - frame).mean() < 2
    target = negative(source, tmp_path / "out.mp4")
    assert_negative(read(target)[0], [frame] * 2, within=3)
    with av.open(str(target)) as film:
        made = next(film.decode(video=0))
        assert (made.colorspace, made.color_range, made.color_primaries) == (1, 1, 1)


def test_high_definition_without_a_word_is_bt709(tmp_path):
    frame = np.concatenate([np.full((720, 32, 3), each, np.uint8) for each in COLORS], axis=1)
    with av.open(str(tmp_path / "in.mp4"), "w") as made:
        video = made.add_stream("libx264", rate=25, options={"crf": "1"})
        video.height, video.width, video.pix_fmt = 720, frame.shape[1], "yuv420p"
        values = av.VideoFrame.from_ndarray(frame, "rgb24")
        planes = values.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1).to_ndarray()
        made.mux(video.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        made.mux(video.encode(None))
    found = next(_film.read_frames(tmp_path / "in.mp4"))
    assert np.abs(np.float32(found) - frame).mean() < 2


@pytest.mark.parametrize("length", [1, 11, 12, 13, 23, 24, 25, 100])
def test_frames_are_chosen_evenly(length):
    counted, found = _video._choose(iter(range(length)))
    assert counted == length
    assert found[0] == 0
    assert len(set(np.diff(found))) <= 1
    assert min(length, 7) <= len(found) <= 12
    assert length - found[-1] <= found[-1] - found[-2] if length > 1 else found == [0]


def test_titles_are_kept(tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as made:
        made.metadata["title"] = "Pond"
        video = made.add_stream("mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = 16, 16, "yuv420p"
        made.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
        made.mux(video.encode(None))
    with av.open(str(negative(tmp_path / "in.mkv", tmp_path / "out.mp4"))) as film:
        assert film.metadata["title"] == "Pond"


# Options


def repaint(tiny, clip, art, **options):
    output = clip.parent / "out.mkv"
    options = {"levels": (2, 1), "overwrite": True, "model": tiny} | options
    wct.stylize_video(clip, art, output=output, **options)
    return read(output)[0]


def test_size_and_mixtures(tiny, clip, art, tmp_path):
    plain = repaint(tiny, clip, art)
    assert repaint(tiny, clip, art, size=32)[0].shape == (24, 32, 3)
    np.testing.assert_array_equal(repaint(tiny, clip, art), plain)
    other = np.uint8(255 * picture(32, 32, 7))
    mixed = repaint(tiny, clip, [art, other], weights=[0.5, 0.5])
    assert np.abs(np.float32(mixed[0]) - plain[0]).mean() > 3
    np.testing.assert_array_equal(repaint(tiny, clip, [art, other], weights=[1, 0]), plain)


def test_the_contents_colours(tiny, clip, art):
    results = repaint(tiny, clip, art, colors="luminance")
    for frame, found in zip(read(clip)[0], results, strict=True):
        kept = to_oklab(halved(frame) / 255)[..., 1:] - to_oklab(halved(found) / 255)[..., 1:]
        assert np.abs(kept).mean() < 0.01


def test_the_style_in_the_colours_of_all_frames(tiny, clip, art):
    recolored = match_colors(np.float32(Image.open(art)) / 255, np.concatenate(read(clip)[0]))
    wanted = repaint(tiny, clip, recolored, noise=0)
    np.testing.assert_array_equal(repaint(tiny, clip, art, colors="matched", noise=0), wanted)


def test_noise_is_levelled_out(tiny, art, tmp_path):
    rng = np.random.default_rng(0)
    frames = [frame + rng.normal(0, 3, frame.shape) for frame in [moving(1)[0]] * 12]
    clip = write(tmp_path / "in.mkv", [np.uint8(frame.clip(0, 255).round()) for frame in frames],
                 codec="ffv1", pixels="yuv444p")  # fmt: skip
    loud, quiet = (
        np.diff(np.float32(repaint(tiny, clip, art, noise=noise))[-4:], axis=0).std()
        for noise in (0.0, 3.0)
    )
    assert quiet < 0.4 * loud
    np.testing.assert_array_equal(repaint(tiny, clip, art), repaint(tiny, clip, art, noise=2.0))


def test_strokes_move_along_with_a_pan(tiny, art, tmp_path, monkeypatch):
    view = scene()
    frames = [to_bytes(view(0.4 * count, 1.3 * count)) for count in range(8)]
    clip = write(tmp_path / "in.mkv", frames, codec="ffv1", pixels="yuv444p")

    def flicker():
        """How much frames differ that are laid on each other where they show the same."""
        seen = [
            np.asarray(shifted(frame / np.float32(255), np.float32(back), size=frame.shape[:2]))
            for count, frame in enumerate(repaint(tiny, clip, art, levels=(3, 2, 1)))
            for back in [(-0.4 * count, -1.3 * count)]
        ]
        return np.diff(seen, axis=0)[2:, 20:-20, 20:-20].std()

    found = flicker()
    monkeypatch.setattr(_steady, "Tracker", lambda: lambda frame: np.zeros(2))
    assert found < flicker() / 2


def test_without_strength_it_is_the_content(tiny, clip, art):
    for frame, found in zip(read(clip)[0], repaint(tiny, clip, art, alpha=0.0), strict=True):
        assert np.abs(np.float32(frame) - found).mean() < 4


# What is wrong is told in one line, and nothing is left


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.write_text("not a video"), "is it a video, and complete?"),
        (lambda path: path.write_bytes(b""), "is it a video, and complete?"),
        (lambda path: path.mkdir(), "is it a video, and complete?"),
        (lambda path: _cut(path), "is it a video, and complete?"),
        (lambda path: _sound_alone(path), "it has no frames"),
    ],
)
def test_what_is_no_video(tiny, art, tmp_path, make, words):
    make(tmp_path / "in.mp4")
    there = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError, match=r"cannot read .*in\.mp4: ") as caught:
        wct.stylize_video(tmp_path / "in.mp4", art, output=tmp_path / "out.mp4", model=tiny)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == there


def _cut(path):
    data = write(path, moving(6)).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _sound_alone(path):
    with av.open(str(path), "w") as made:
        track = made.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
        samples.rate = 48000
        made.mux([*track.encode(samples), *track.encode(None)])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"output": "out.avi"}, ImageError, "its format '.avi' is not one of .mp4, .m4v"),
        ({"output": "clip.mp4"}, ImageError, "exists already"),
        ({"output": "none/out.mp4"}, ImageError, "there is no directory none"),
        ({"noise": -1.0}, WctError, "noise must be at least 0, not -1.0"),
        ({"noise": float("nan")}, WctError, "noise must be at least 0, not nan"),
        ({"size": 0}, WctError, "size must be a whole number, at least 1, not 0"),
        ({"alpha": 2.0}, WctError, "alpha must be from 0 to 1"),
        ({"colors": "mine"}, WctError, "there is no choice of colors"),
        (
            {"memory": 531_200_000},
            WctError,
            "frames 64 wide and 48 high need 0.54 GB of memory, and",
        ),
        ({"style_size": 0}, WctError, "style_size must be a whole number, at least 1"),
    ],
)
def test_what_is_out_of_range(tiny, clip, art, monkeypatch, options, error, words):
    monkeypatch.chdir(clip.parent)
    there = sorted(clip.parent.iterdir())
    with pytest.raises(error) as caught:
        wct.stylize_video("clip.mp4", art, **{"output": "out.mp4", "model": tiny} | options)
    assert words in str(caught.value)
    assert sorted(clip.parent.iterdir()) == there


def test_a_sound_that_a_format_does_not_have(tiny, art, tmp_path):
    source = write(tmp_path / "in.avi", moving(2), codec="mpeg4", sound="pcm_mulaw")
    with pytest.raises(ImageError, match=r"cannot write the video's sound: .*pcm_mulaw.*\.mkv"):
        wct.stylize_video(source, art, output=tmp_path / "out.mp4", levels=(1,), model=tiny)
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_interrupted_leaves_nothing(tiny, clip, art):
    there = sorted(clip.parent.iterdir())

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repaint(tiny, clip, art, progress=stop)
    assert sorted(clip.parent.iterdir()) == there


def test_a_full_disk(tiny, clip, art, monkeypatch):
    def full(*_):
        raise av.OSError(28, "No space left on device")

    monkeypatch.setattr(_film, "_fill", full)
    with pytest.raises(ImageError, match=r"cannot write .*out\.mkv: No space left on device"):
        repaint(tiny, clip, art)
    assert not (clip.parent / "out.mkv").exists()


def test_mistakes_are_told_before_the_video_is_read(tiny, clip, art, monkeypatch):
    monkeypatch.setattr(_video, "_choose", None)
    for options in ({"alpha": 2.0}, {"memory": 1e6}, {"weights": [1, 1]}, {"levels": (6,)}):
        with pytest.raises(WctError):
            repaint(tiny, clip, art, **options)
    with pytest.raises(ImageError, match="there is no such file"):
        repaint(tiny, clip, "none.png")


def test_out_of_memory(tiny, clip, art, monkeypatch, exhaust):
    monkeypatch.setattr(type(tiny), "measure", exhaust)
    with pytest.raises(WctError, match="out of memory: allow less of it"):
        repaint(tiny, clip, art)


def test_without_pyav(tiny, clip, art, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(WctError, match="videos need PyAV: pip install av"):
        wct.stylize_video(clip, art, output=clip.parent / "out.mp4", model=tiny)


# The command


@pytest.fixture
def command(tiny_directory, clip, art, monkeypatch):
    """Runs `wct video` on the tiny model, where the clip is."""
    monkeypatch.chdir(clip.parent)

    def run(*arguments):
        arguments = ["video", *map(str, arguments), "--model", str(tiny_directory)]
        return CliRunner().invoke(main, arguments)

    return run


def test_the_command_does_what_the_library_does(command, art, tiny_directory):
    done = command("clip.mp4", "art.png", "-a", "0.9,0.5", "--levels", "2,1", "-p", "paper",
                   "--size", "40", "--colors", "luminance")  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "clip-art.mp4\n")
    wct.stylize_video("clip.mp4", art, (0.9, 0.5), output="other.mp4", levels=(2, 1), size=40,
                      preset="paper", colors="luminance", model=tiny_directory)  # fmt: skip
    np.testing.assert_array_equal(read("clip-art.mp4")[0], read("other.mp4")[0])


def test_the_command_mixes_styles(command, tiny_directory):
    Image.fromarray(np.uint8(255 * picture(32, 32, 7))).save("b.png")
    done = command("clip.mp4", "art.png", "-s", "b.png", "-w", "0.3", "-w", "0.7", "-o", "mix.mkv",
                   "--levels", "1")  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "mix.mkv\n")
    wct.stylize_video("clip.mp4", ["art.png", "b.png"], weights=[0.3, 0.7], output="other.mkv",
                      levels=(1,), model=tiny_directory)  # fmt: skip
    np.testing.assert_array_equal(read("mix.mkv")[0], read("other.mkv")[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.mp4", "art.png"), "Error: cannot read none.mp4: there is no such file\n"),
        (("clip.mp4", "none.png"), "Error: cannot read none.png: there is no such file\n"),
        (("clip.mp4", "art.png", "-o", "clip.mp4"), "Error: clip.mp4 exists already"),
    ],
)
def test_the_command_tells_in_one_line(command, arguments, words):
    done = command(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1
