"""Opening files and streams as Pillow's images, and telling what is wrong with them."""

import contextlib
import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol, cast, runtime_checkable

from PIL import Image, UnidentifiedImageError

from ._errors import ImageError

_opening = threading.Lock()  # filters of warnings are global: one thread changes them at a time


# `IO[bytes]` would say the same, but a run-time checker finds no BytesIO in it.
@runtime_checkable
class Readable(Protocol):
    """A binary stream to read from."""

    def read(self, size: int = -1, /) -> bytes: ...


@contextlib.contextmanager
def opened(
    source: str | os.PathLike[str] | Readable | Image.Image, allow_large: bool
) -> Iterator[Image.Image]:
    """Open an image file, of which Pillow reads the header first and the pixels when asked."""
    if isinstance(source, Image.Image):
        yield source
        return
    if isinstance(source, io.TextIOBase):
        raise ImageError("it is open as text; open it as binary ('rb')")
    _knows_heic()
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        limit = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None if allow_large else limit
            image = Image.open(cast(IO[bytes], source))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


@functools.cache
def _knows_heic() -> bool:
    """Have Pillow read HEIC, if there is what can."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@contextlib.contextmanager
def reading(source: object) -> Iterator[None]:
    """Make of whatever goes wrong in reading a picture an `ImageError` that names it."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"cannot read {_name(source)}: {error}") from error.__cause__
    except Exception as error:  # decoders raise nearly anything for a damaged file
        raise ImageError(f"cannot read {_name(source)}: {_cause(error)}") from error


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) or "''"
    if isinstance(source, Image.Image | Readable):
        return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the image")
    dtype, shape = (getattr(source, each, None) for each in ("dtype", "shape"))
    if dtype is not None and shape is not None:
        return f"an array of {dtype} and shape {tuple(shape)}"
    return f"an object of type {type(source).__name__}"


def _cause(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case OSError(filename=str(name)) if Path(name).is_dir():
            return "it is a directory; give an image file"
        case UnidentifiedImageError():
            hint = "" if _knows_heic() else ", or, if it is HEIC, pip install pillow-heif"
            return f"it is no image of a format known here; convert it to PNG or JPEG first{hint}"
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return (
                f"it has more than {Image.MAX_IMAGE_PIXELS} pixels (PIL.Image.MAX_IMAGE_PIXELS); "
                "make it smaller, or, for stylize or style, if you trust it, allow it "
                "(allow_large=True, --allow-large)"
            )
        case OSError(strerror=str(reason)):
            return f"{reason}"
        case _:
            return f"it is damaged or incomplete ({error!r}); get a new copy of it"
