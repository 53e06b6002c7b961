"""EXIF in a TIFF that is written already: Pillow and libvips write but some of it there, or none.

A TIFF is a chain of directories of fields, which may lie anywhere in the file.
"""

import io
import struct
from typing import IO

import numpy as np
from PIL import ExifTags

_Field = tuple[int, int, bytes]
"""Type, count, and the value, or what a directory has in its place."""

_PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8), start=1))
_TEXT, _LONG, _LONG8, _RATIONALS = 2, 4, 16, (5, 10)

_PRIVATE = 700
"""Fields of lower tags that are no text say how pixels are stored, but for the orientation."""


def add_exif(file: IO[bytes], exif: bytes) -> None:
    """Append EXIF to a TIFF; what its directory says already stays so.

    Broken EXIF is left out, and so is its part on interoperability.

    Args:
        file: The complete TIFF of one picture, classic or big, open for reading and writing.
        exif: As Pillow has it.

    Raises:
        struct.error: A classic TIFF would become larger than 4 GiB.
    """
    target = _Tiff(file)
    try:
        source = _Tiff(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
        found = source.values(source.first)
        parts = {tag: source.values(source.number(found[tag][2])) for tag in _PARTS if tag in found}
    except (KeyError, OverflowError, struct.error):
        return
    added = {
        tag: target.put(field, source.order)
        for tag, field in found.items()
        if tag >= _PRIVATE or tag == ExifTags.Base.Orientation or field[0] == _TEXT
    }
    for tag, part in parts.items():
        part.pop(ExifTags.IFD.Interop, None)
        fields = {each: target.put(field, source.order) for each, field in part.items()}
        added[tag] = target.pointer(target.put_directory(fields))
    target.start_at(target.put_directory(added | target.fields(target.first)))


class _Tiff:
    def __init__(self, file: IO[bytes]):
        self._file = file
        file.seek(0)
        head = file.read(16)
        self.order = {b"II": "<", b"MM": ">"}[head[:2]]
        self._big = self.number(head[2:4]) == 43
        self._room = 8 if self._big else 4  # of an offset, of a short value and before the first
        self._offset = self.order + ("Q" if self._big else "I")
        self._count = self.order + ("Q" if self._big else "H")
        self._entry = self.order + ("HHQ8s" if self._big else "HHI4s")
        self.first = self.number(head[self._room : 2 * self._room])

    def number(self, value: bytes) -> int:
        return int.from_bytes(value, "little" if self.order == "<" else "big")

    def fields(self, start: int) -> dict[int, _Field]:
        """Return the fields of a directory by their tags."""
        self._file.seek(start)
        count = self.number(self._file.read(struct.calcsize(self._count)))
        rows = self._file.read(count * struct.calcsize(self._entry))
        return {tag: tuple(field) for tag, *field in struct.iter_unpack(self._entry, rows)}

    def values(self, start: int) -> dict[int, _Field]:
        """Return the fields of a directory with their values, but for those that are broken."""
        fields, left = {}, self._file.seek(0, io.SEEK_END)
        for tag, (kind, count, value) in self.fields(start).items():
            size = count * _SIZES.get(kind, 0)
            left -= size  # values that overlap might fill the memory
            if size > self._room and left >= 0:
                self._file.seek(self.number(value))
                value = self._file.read(size)
            if 0 < size <= len(value):
                fields[tag] = kind, count, value[:size]
        return fields

    def put(self, field: _Field, order: str) -> _Field:
        """Store the value of a field, which has this byte order, unless it fits into the field."""
        kind, count, value = field
        if order != self.order:
            width = 4 if kind in _RATIONALS else _SIZES[kind]
            value = np.frombuffer(value, f"u{width}").byteswap().tobytes()
        if len(value) > self._room:
            value = struct.pack(self._offset, self._append(value))
        return kind, count, value

    def put_directory(self, fields: dict[int, _Field]) -> int:
        """Store a directory, and return where."""
        rows = [struct.pack(self._entry, tag, *fields[tag]) for tag in sorted(fields)]
        count = struct.pack(self._count, len(rows))
        return self._append(b"".join([count, *rows, bytes(self._room)]))

    def pointer(self, start: int) -> _Field:
        """Return a field that says where something is."""
        return _LONG8 if self._big else _LONG, 1, struct.pack(self._offset, start)

    def start_at(self, first: int) -> None:
        """Make another directory the first."""
        self._file.seek(self._room)
        self._file.write(struct.pack(self._offset, first))

    def _append(self, data: bytes) -> int:
        start = self._file.seek(0, io.SEEK_END)
        start += self._file.write(bytes(start % 2))  # offsets are even
        self._file.write(data)
        return start
