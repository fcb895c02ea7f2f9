"""How the bytes of a bundle are laid out: nothing before its files, between them or behind them.

The hashes of a manifest cover what is in the files. A zip is read from its end, and finds them wherever they lie; what
stands elsewhere, such as a script that a shell would run, is covered by no hash and seen by nobody who lists the zip.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from copy import copy
from typing import BinaryIO
from zipfile import DEFAULT_VERSION, LargeZipFile, ZipFile, ZipInfo

LARGE = (1 << 31) - 1  # bytes from which on zipfile writes the longer fields of zip64
MANY = 0xFFFF  # files, likewise
LINE = 46  # bytes of a line of the table of contents but for its texts


def layout_error(file: BinaryIO, size: int, archive: ZipFile) -> str:
    """Where a bundle's file is laid out otherwise than an export writes it.

    Args:
        file: The file.
        size: Its bytes.
        archive: What :mod:`zipfile` reads of it.

    Returns:
        What is wrong, in words; nothing where nothing is.
    """
    at, entries = 0, archive.infolist()
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset != at:
            return f"{entry.orig_filename!r} begins at byte {entry.header_offset} where {at} is expected"
        length = _header(file, entry)
        if not length:
            return f"{entry.orig_filename!r} is headed otherwise than its table of contents says"
        at += length + entry.compress_size
    if archive.start_dir != at:
        return f"its table of contents begins at byte {archive.start_dir} where {at} is expected"
    if wrong := next((entry for entry in entries if entry.comment or entry.extra != _more(entry)), None):
        return f"{wrong.orig_filename!r} has a comment or a field that no export writes"
    end = _end(entries, at)
    file.seek(max(0, size - len(end)))
    if file.read(len(end)) != end or at + _listed(entries) + len(end) != size:
        return "it does not end with its table of contents"
    return ""


def _header(file: BinaryIO, entry: ZipInfo) -> int:
    """The bytes before a file's own, 0 where they are not those of its line in the table of contents."""
    as_written = copy(entry)
    as_written.extra, as_written.extract_version = b"", DEFAULT_VERSION  # the table's own say where zip64 is needed
    for large in (False, True):  # zip64 where it may become large
        try:
            expected = as_written.FileHeader(large)
        except LargeZipFile:
            continue
        file.seek(entry.header_offset)
        if file.read(len(expected)) == expected:
            return len(expected)
    return 0


def _more(entry: ZipInfo) -> bytes:
    """What zip64 adds to a file's line in the table of contents."""
    sizes = [entry.file_size, entry.compress_size] if max(entry.file_size, entry.compress_size) > LARGE else []
    large = [*sizes, *([entry.header_offset] if entry.header_offset > LARGE else [])]
    return struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""


def _listed(entries: Sequence[ZipInfo]) -> int:
    """The bytes of the table of contents."""
    return sum(LINE + len(entry.orig_filename.encode()) + len(entry.extra) for entry in entries)


def _end(entries: Sequence[ZipInfo], start: int) -> bytes:
    """The end record of a table of contents that begins at ``start``; where zip64 is needed, its own before it."""
    count, size, zip64 = len(entries), _listed(entries), b""
    if count > MANY or max(size, start) > LARGE:
        zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
        zip64 += struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
    count, size, start = min(count, 0xFFFF), min(size, 0xFFFFFFFF), min(start, 0xFFFFFFFF)
    return zip64 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, start, 0)
