"""``hf:NAME``: a data set of Hugging Face's ``datasets``, from its cache on this machine or a folder that it saved.

The network is not opened: a data set that is not in the cache is fetched by its user. The library has the name of a
folder of ours, which Python would find in its place where it was started beside that.
"""

from __future__ import annotations

import math
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...catalog import DataError
from ...files import read_bytes
from ..listing import Encoded, Item
from ..pictures import MOST_BYTES
from ..source import PARTS, Source

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def listing(source: Source) -> Encoded:
    """The images of every split that is for training, validation or testing, in its order.

    Raises:
        DataError: where the library or the data set is not at hand, or its columns are not an image and a class.
    """
    splits = _splits(source)
    named = {part: PARTS[part.lower()] for part in splits if part.lower() in PARTS}
    if not named:
        raise DataError(f"{source.name} has the splits {', '.join(splits)}: train is expected, and validation or test")
    notes = [f"the splits {', '.join(left)} were left alone"] if (left := [s for s in splits if s not in named]) else []
    items: list[Item] = []
    rows: list[tuple[Any, int]] = []
    for split, part in named.items():
        table, image, label = _columns(splits[split], source)
        names = getattr(table.features[label], "names", None)
        groups = table[source.group] if source.group else [""] * len(table)
        for row, (value, group) in enumerate(zip(table[label], groups, strict=True)):
            if value is None or (names and value < 0):  # how the library says that a label is not known
                raise DataError(f"{source.name}: row {row} of {split} has no {label}")
            word = names[value] if names else str(value)
            items.append(Item(f"{split}[{row}]", word, "" if len(named) == 1 else part, _group(group)))
        encoded = table.select_columns([image])
        rows += [(encoded, row) for row in range(len(table))]

    def data(position: int) -> bytes:
        table, row = rows[position]
        kept = table[row][table.column_names[0]]
        return kept["bytes"] if kept["bytes"] is not None else read_bytes(Path(kept["path"]), MOST_BYTES)

    return Encoded(items, data, notes)


def _group(value: Any) -> str:
    """The group in words; nothing where none is known: such an image stands alone."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _library() -> Any:
    """Hugging Face's ``datasets``, and not our folder of that name. DataError where it is not at hand."""
    os.environ.update({name: os.environ.get(name) or "1" for name in OFFLINE})  # read when it is imported
    if find_spec("datasets") is None:
        raise DataError('hf: Hugging Face\'s datasets is not installed: pip install "tailboard[hf]"')
    library = import_module("datasets")
    if not hasattr(library, "load_dataset"):
        where = Path(library.__file__ or "").parent
        sys.modules.pop("datasets")
        raise DataError(f"hf: Python finds {where} in the place of Hugging Face's datasets: start it in another folder")
    for module in (library.config, import_module("huggingface_hub.constants")):  # where it was imported before
        vars(module)["HF_HUB_OFFLINE"] = True
    return library


def _splits(source: Source) -> dict[str, Any]:
    library, name = _library(), str(source.path)
    try:
        if (source.path / "dataset_dict.json").is_file() or (source.path / "state.json").is_file():
            loaded = library.load_from_disk(name)
        else:
            loaded = library.load_dataset(name, download_config=library.DownloadConfig(local_files_only=True))
    except Exception as error:  # whatever the library, or a reader of it, raises
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{source.name} could not be read ({first[:200]}). tailboard opens no network for it: "
            f"python -c \"import datasets; datasets.load_dataset('{name}')\" fetches it"
        ) from None
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _columns(table: Any, source: Source) -> tuple[Any, str, str]:
    """The table with its images as bytes, and the names of the columns with image and label."""
    library, features = _library(), table.features
    chosen = {}
    for word, kind in (("image", library.Image), ("label", library.ClassLabel)):
        asked = getattr(source, word)
        fit = [asked] if asked else [name for name, feature in features.items() if isinstance(feature, kind)]
        fit = fit or [name for name in features if name == word]
        if len(fit) != 1 or fit[0] not in features:
            raise DataError(f"{source.name}: which column is the {word}? Say {word}: one of {', '.join(features)}")
        chosen[word] = fit[0]
    if source.group and source.group not in features:
        raise DataError(f"{source.name} has no column {source.group!r}, but {', '.join(features)}")
    if not isinstance(features[chosen["image"]], library.Image):
        raise DataError(f"{source.name}: the column {chosen['image']!r} holds no images")
    return table.cast_column(chosen["image"], library.Image(decode=False)), chosen["image"], chosen["label"]
