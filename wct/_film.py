"""Files of videos: their frames as pictures, and a file anew with other frames; by FFmpeg."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import ImageError, WctError
from ._files import new_file

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoCodecContext, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

_BT709, _LIMITED = 1, 1
"""Numbers of H.273: the colours of high definition, and of their ranges the usual one."""

_UNSPECIFIED = 2
"""Likewise, of a file that does not say which colours it has."""

_RATE = 25
"""Frames a second of a video that does not say."""

_HIGH = 720
"""Rows from which on players take colours that are not specified for those of high definition."""


def check_container(path: Path) -> None:
    """Find out before the work whether a video can be written to a file of this name.

    Raises:
        ImageError: Its suffix is none of a format known here.
        WctError: PyAV is not installed.
    """
    _av()
    if path.suffix.lower() not in _CONTAINERS:
        raise ImageError(
            f"cannot write {path}: its format {path.suffix!r} is not one of "
            f"{', '.join(_CONTAINERS)}; choose another one"
        )


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yield the frames of a video, upright, uint8 `(height, width, 3)`.

    Raises:
        ImageError: It cannot be read to its end, or has none.
    """
    empty = True
    with _opened(path) as (film, video):
        for frame in film.decode(video):
            empty = False
            yield _pixels(frame)
    if empty:
        raise ImageError(f"cannot read {path}: it has no frames")


def rewrite(
    source: str | os.PathLike[str],
    target: Path,
    paint: Callable[[np.ndarray], np.ndarray],
    *,
    overwrite: bool,
) -> None:
    """Write a video with other frames, at the same times, and the same sound; as H.264.

    Its colours are 4:2:0, for which sides are even: one that is odd gets a pixel more.

    Args:
        source: The video.
        target: The file to write.
        paint: Makes of a frame, uint8 `(height, width, 3)`, the one in its place; all of one size.
        overwrite: Replace an existing file.

    Raises:
        ImageError: The one cannot be read, or the other not be written.
    """
    av = _av()
    container = _CONTAINERS[target.suffix.lower()]
    with _opened(source) as (film, video), new_file(target, overwrite=overwrite) as temporary:
        try:
            with av.open(os.fspath(temporary), "w", format=container) as made:
                _fill(made, film, video, paint)
        except av.FFmpegError as error:
            raise ImageError(
                f"cannot write {target}: {error.strerror}; is there room for it?"
            ) from error


def _fill(
    made: OutputContainer,
    film: InputContainer,
    video: VideoStream,
    paint: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Write all that a video's new file has."""
    made.metadata.update(film.metadata)
    rate = video.average_rate or video.guessed_rate or Fraction(_RATE)
    painted = made.add_stream("libx264", rate=rate, options={"crf": "18"})
    sounds = {sound.index: _same(made, sound) for sound in film.streams.audio}
    waiting: list[Packet] = []  # the file begins with the size of its frames
    count = 0
    for packet in film.demux(video, *film.streams.audio):
        if packet.stream.index in sounds and packet.dts is not None:  # else it marks the end
            packet.stream = sounds[packet.stream.index]
            waiting.append(packet)
        for frame in video.decode(packet) if packet.stream is video else ():
            new = _frame(paint(_pixels(frame)))
            if frame.pts is None:  # of a stream without a container
                new.pts, new.time_base = count, 1 / rate
            else:
                new.pts, new.time_base = frame.pts, frame.time_base
            if count == 0:
                _begin(painted.codec_context, new, _aspect(video, frame))
            made.mux(painted.encode(new))
            count += 1
        if count > 0:
            made.mux(waiting)
            waiting.clear()
    made.mux(painted.encode(None))


def _same(made: OutputContainer, sound: AudioStream) -> AudioStream:
    """Have a file take a sound as it is."""
    try:
        return made.add_stream_from_template(sound)
    except ValueError as error:
        raise ImageError(
            f"cannot write the video's sound: {error}; choose another format: .mkv allows for most"
        ) from error


def _begin(encoder: VideoCodecContext, frame: VideoFrame, aspect: Fraction) -> None:
    """Tell an encoder what its frames are like."""
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    assert frame.time_base is not None
    encoder.time_base = frame.time_base
    encoder.sample_aspect_ratio = aspect
    encoder.colorspace = encoder.color_primaries = encoder.color_trc = _BT709
    encoder.color_range = _LIMITED


def _aspect(video: VideoStream, frame: VideoFrame) -> Fraction:
    """Return how wide a pixel is for its height, when the frame is upright."""
    aspect = video.sample_aspect_ratio or Fraction(1)
    return 1 / aspect if frame.rotation % 180 else aspect


def _pixels(frame: VideoFrame) -> np.ndarray:
    """Return a frame upright, in sRGB, uint8."""
    unspecified = frame.colorspace == _UNSPECIFIED and frame.height >= _HIGH
    values = frame.to_ndarray(format="rgb24", src_colorspace=_BT709 if unspecified else None)
    return np.rot90(values, round(frame.rotation / 90))


def _frame(pixels: np.ndarray) -> VideoFrame:
    """Return pixels as a frame in the colours that are written."""
    height, width, _ = pixels.shape
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video; whatever goes wrong in reading it is told in one line."""
    av = _av()
    try:
        with av.open(os.fspath(path)) as film:
            video = film.streams.best("video")
            if video is None:
                raise ImageError(f"cannot read {path}: it has no frames")
            video.thread_type = "AUTO"
            yield film, video
    except av.FileNotFoundError as error:
        raise ImageError(f"cannot read {path}: there is no such file") from error
    except av.FFmpegError as error:
        raise ImageError(
            f"cannot read {path}: {error.strerror}; is it a video, and complete?"
        ) from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise WctError("videos need PyAV: pip install av") from error
    return av
