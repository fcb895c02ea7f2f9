"""Fetching official files over the network, which happens only when the user asks: ``tailboard data prepare``."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from http.client import HTTPException
from pathlib import Path

from .catalog import DataError
from .files import damaged, roots


def destination(name: str, root: Path | None) -> Path:
    """The folder into which the data set ``name`` is fetched; ``load`` with the same ``root`` looks there first."""
    return roots(root)[0] / name


def fetch(url: str, md5: str, file: Path) -> Path:
    """Download ``url`` to ``file`` unless it is already there, and check its md5 (hexadecimal).

    Raises DataError where the server cannot be reached or what it sent has another md5.
    """
    from torchvision.datasets.utils import download_url

    try:
        download_url(url, file.parent, file.name, md5)
    except (OSError, HTTPException, RuntimeError) as error:
        raise DataError(
            f"{url} could not be fetched: {error} You can also put it there yourself, as {file} (md5 {md5})."
        ) from None
    return file


def unpack(archive: Path) -> None:
    """Extract a .tar.gz beside itself; a member that would land outside is refused with DataError."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(archive.parent, filter="data")
    except (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError) as error:
        raise damaged(archive, error) from None
    except OSError as error:
        raise DataError(f"{archive} could not be unpacked: {error}") from None
