"""Data sets fetched over the network: what was cut off goes on, checksums are checked before anything is opened, and an
archive writes nothing outside its folder. Nothing is fetched unless the user asks: ``tailboard data prepare``."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .catalog import DataError
from .files import checksum, damaged, roots

MOST_BYTES = 2**33  # of a download, and of what an archive holds
SILENCE = 60.0  # seconds in which a server sends nothing
AT_ONCE = 2**20  # bytes
COMPLETE, PARTIAL = 416, 206  # what a server answers who is asked for bytes beyond the end, and for some


def destination(name: str, root: Path | None) -> Path:
    """The folder into which the data set ``name`` is fetched; ``load`` with the same ``root`` looks there first."""
    return roots(root)[0] / name


def fetch(url: str, md5: str, file: Path) -> Path:
    """Download ``url`` to ``file`` unless it is already there, and check its md5 (hexadecimal).

    What an earlier call got is kept beside it, as ``NAME.part``, and gone on from.

    Raises DataError where the server cannot be reached or what it sent has another md5.

    Args:
        url: What to download.
        md5: Of the file, hexadecimal.
        file: Where it is to lie.
    """
    yourself = f"You can also put it there yourself, as {file} (md5 {md5})."
    if file.is_file() and checksum(file, "md5") == f"md5:{md5}":
        return file
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        received = checksum(part, "md5").removeprefix("md5:")
        if received != md5:
            part.unlink()
            raise DataError(f"{url} could not be fetched: what it sent has the md5 {received}. {yourself}")
        part.replace(file)
    except (OSError, HTTPException, ValueError) as error:
        begun = f" {part.stat().st_size:,} bytes are kept: the same command goes on." if part.is_file() else ""
        raise DataError(f"{url} could not be fetched: {error}.{begun} {yourself}") from None
    return file


def _download(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks of the file. OSError where that ends early, or has no end."""
    begun = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})  # noqa: S310  (our own addresses)
    try:
        answer = urlopen(request, timeout=SILENCE)  # noqa: S310
    except HTTPError as error:
        if begun and error.code == COMPLETE:
            return
        raise
    with answer, part.open("ab" if answer.status == PARTIAL else "wb") as file:
        left = int(answer.headers.get("Content-Length") or MOST_BYTES)
        expected, got = file.tell() + left, file.tell()
        while data := answer.read(AT_ONCE):
            got += len(data)
            if got > MOST_BYTES:
                raise OSError(f"it is larger than {MOST_BYTES:,} bytes")
            file.write(data)
        if answer.headers.get("Content-Length") and got < expected:
            raise OSError(f"the connection ended after {got:,} of {expected:,} bytes")


def unpack(archive: Path) -> None:
    """Extract a .zip or .tar.gz beside itself. DataError for one that is damaged, and where a member would land outside
    or all of them would fill the disk."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                _check([(member.filename, member.file_size) for member in file.infolist()], archive)
                file.extractall(archive.parent)  # noqa: S202  (see _check)
        else:
            with tarfile.open(archive) as tar:
                members = tar.getmembers()
                _check([(member.name, member.size) for member in members], archive)
                tar.extractall(archive.parent, members, filter="data")
    except (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged(archive, error) from None
    except OSError as error:
        raise DataError(f"{archive} could not be unpacked: {error}") from None


def _check(members: list[tuple[str, int]], archive: Path) -> None:
    top = archive.parent.resolve()
    for name, _ in members:
        if not (top / name).resolve().is_relative_to(top):
            raise DataError(f"{archive}: {name!r} would be unpacked outside the destination: nothing was unpacked")
    size, free = sum(size for _, size in members), shutil.disk_usage(top).free
    if size > min(MOST_BYTES, free):
        raise DataError(f"{archive} holds {size / 2**30:,.1f} GiB, and {top} has room for {free / 2**30:,.1f}")


def is_as_archived(archive: Path) -> bool:
    """Whether every file of a .zip lies beside it with the bytes that it has there, by their CRC-32."""
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            path = archive.parent / member.filename
            if not member.is_dir() and (not path.is_file() or zlib.crc32(path.read_bytes()) != member.CRC):
                return False
    return True
