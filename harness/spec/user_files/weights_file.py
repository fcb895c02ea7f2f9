"""The files of weights that networks start from: a trial's key holds the SHA-256 of one, and never its path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ....datasets.array_cache import stamp
from ....datasets.catalog import DataError
from ....datasets.files import cache, checksum, data_folders
from ....datasets.user_images.scan import write_whole
from ...errors import SpecError
from ..schema import Pretraining, Weights

BY_HASH = "sha256:"  # begins what a written spec says of a file
SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
MOST_CANDIDATES = 1000  # files that are looked at below a data folder


def network_words(
    name: str, values: Mapping[str, Any] | None, weights: Weights | Pretraining | None
) -> str | dict[str, Any]:
    """A network as a spec names it: a name, with its values and its weights where it has any.

    Args:
        name: Its name.
        values: What differs from its defaults.
        weights: The SHA-256 of the file that it starts from, or its pretraining.
    """
    words: dict[str, Any] = {"values": values} if values else {}
    if isinstance(weights, Pretraining):
        words["weights"] = {
            "data": weights.data.model_dump(mode="json", exclude_defaults=True),
            "method": weights.method.model_dump(exclude={"plugin"}),
            "training": weights.training.model_dump(),
        }
    elif weights:
        words["weights"] = f"{BY_HASH}{weights}"
    return {"name": name} | words if words else name


def resolved(weights: str, folder: Path) -> str:
    """The SHA-256 of the file that a spec names, or the one that it gives as ``sha256:...``.

    Args:
        weights: The words of the spec.
        folder: What a relative path is relative to.

    Raises:
        SpecError: where there is no such file.
    """
    if weights.startswith(BY_HASH):
        return weights.removeprefix(BY_HASH)
    path = (folder / Path(weights).expanduser()).resolve()
    if not path.is_file():
        raise SpecError(f"network.weights: there is no file {path}")
    try:
        return _remembered(path)
    except OSError as error:
        raise SpecError(f"network.weights: {path} cannot be read: {error.strerror or error}") from None


def located(sha256: str, root: Path | None) -> Path:
    """The file with that SHA-256: where it was last seen, or at the top of ``root``, of the folder ``TAILBOARD_DATA``
    and of the folders ``weights`` in them. DataError where it is nowhere."""
    for path in (*_last_seen(sha256), *_candidates(root)):
        with suppress(OSError, DataError):
            if _remembered(path) == sha256:
                return path
    looked = ", ".join(str(folder) for folder in data_folders(root)) or "no folder, since there is no --root"
    raise DataError(
        f"the weights {sha256[:12]} that the network starts from are not at hand (looked in {looked}): name the "
        "folder that they are in with --root"
    )


def _remembered(path: Path) -> str:
    """The SHA-256 of a file, read again only where its size or time has changed; where it is stays in the cache."""
    place = cache() / "weights" / "files" / f"{path.as_posix().strip('/').replace('/', '%')[-200:]}.json"
    now = [str(path), stamp(path)]
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(place.read_text(encoding="utf-8"))
        if kept["of"] == now:
            return str(kept["sha256"])
    sha256 = checksum(path, "sha256").removeprefix(BY_HASH)
    with suppress(OSError):
        write_whole(place, json.dumps({"of": now, "sha256": sha256}))
        write_whole(cache() / "weights" / f"{sha256}.json", json.dumps(str(path)))
    return sha256


def _last_seen(sha256: str) -> list[Path]:
    try:
        return [Path(json.loads((cache() / "weights" / f"{sha256}.json").read_text(encoding="utf-8")))]
    except (OSError, ValueError, TypeError):
        return []


def _candidates(root: Path | None) -> Iterator[Path]:
    for base in data_folders(root):
        for folder in (base, base / "weights"):
            with suppress(OSError):
                paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES))
                yield from (path.resolve() for path in paths[:MOST_CANDIDATES] if path.is_file())
