"""Source: where images are, a user's own or those of an image set, and how they are to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalog import DataError

SETS = ("eurosat", "aptos2019", "isic2020")  # the image sets of ``image_sets.py``
KINDS = ("folder", "csv", "npz", "hf", *SETS)
HINT = "For images of your own: folder:PATH (a folder for each class), csv:FILE, npz:FILE or hf:NAME."
COLUMNS = ("label", "image", "group", "split")  # of a csv, by the words of a spec
WORDS = (*COLUMNS, "images", "size")
# The column of a csv with the images' paths where none is named: the first of these that it has. A csv that has none of
# them is a table.
IMAGE_COLUMNS = (
    *("image", "file", "filename", "file_name", "path", "filepath", "image_path", "image_name"),
    "id_code",
)
# The column of each other kind where none is named, of images and of tables: the first of these that the file has.
USUAL_COLUMNS = {
    "label": ("label", "class", "target", "diagnosis", "category", "class_name", "label_name"),
    "group": ("group", "patient", "patient_id"),
    "split": ("split",),
}
SEPARATORS = ",;\t"
SMALLEST, LARGEST = 8, 1024  # pixels on a side
# What the parts of a data set are called, in folders and in a column ``split``.
PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """``kind`` is one of KINDS and ``path`` absolute. Of a csv, ``label``, ``image``, ``group`` and ``split`` name the
    columns, and ``images`` the folder that its paths are relative to; None stands for what is usual. Of an image set
    ``split`` is one of its splits; of ``hf:``, ``path`` is a name, unless a folder lies there. ``size`` is the side in
    pixels that all images are brought to, None where their own is kept."""

    kind: str
    path: Path
    label: str | None = None
    image: str | None = None
    group: str | None = None
    split: str | None = None
    images: str | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """What tables show: the kind and the last part of the path, of an image set its name."""
        return self.kind if self.kind in SETS else f"{self.kind}:{self.path.name}"


def is_user_images(name: Any) -> bool:
    """Whether a data set's name says where images of the user's own are, or is that of an image set read alike."""
    return isinstance(name, str) and (name in SETS or (name.partition(":")[0] in KINDS and ":" in name))


def separator(text: str) -> str:
    """The sign between the values of a csv: the one of SEPARATORS that its first line has most often, outside of
    quotes."""
    return max(SEPARATORS, key=re.sub(r'"[^"]*"', "", re.split(r"[\r\n]", text, maxsplit=1)[0]).count)


def source_of(words: Mapping[str, Any], folder: Path) -> Source:
    """The source that the words of a spec stand for.

    Args:
        words: ``name`` as in ``folder:photos``, and any of WORDS.
        folder: What a relative path is relative to.

    Raises:
        DataError: where a word is not what it should be, or nothing is at the path.
    """
    kind, _, place = str(words["name"]).partition(":")
    if not is_user_images(words["name"]):
        raise DataError(f"{words['name']} is no place of images. {HINT}")
    if not place:
        raise DataError(f"data: {kind}: is followed by a path, as in {kind}:{'photos' if kind == 'folder' else 'f'}")
    given = given_words(words, kind)
    path = (folder / Path(place).expanduser()).resolve()
    if kind == "hf":
        return Source(kind, path if path.is_dir() else Path(place), **given)
    if kind == "folder" and not path.is_dir():
        reason = "a file, not a folder" if path.exists() else "no such folder"
        raise DataError(f"data: {kind}:{place}: {path} is {reason}")
    if kind != "folder" and not path.is_file():
        reason = "a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"data: {kind}:{place}: {path} is {reason}")
    return Source(kind, path, **given)


def given_words(words: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What is said beside the name. DataError where the kind has no such word, or it is not what it should be."""
    given = {word: words[word] for word in WORDS if words.get(word) is not None}
    own = {"csv": WORDS, "hf": ("label", "image", "group", "size")} | dict.fromkeys(SETS, ("split", "size"))
    if wrong := [word for word in given if word not in own.get(kind, ("size",))]:
        raise DataError(f"data.{wrong[0]}: names a column or folder of a csv; {words['name']} has none")
    for word, value in given.items():
        if word != "size" and not isinstance(value, str):
            raise DataError(f"data.{word}: a name is expected, not {value!r}")
    size = given.get("size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not SMALLEST <= size <= LARGEST):
        raise DataError(f"data.size: a number of pixels from {SMALLEST} to {LARGEST} is expected, not {size!r}")
    return given
