"""A set of OpenML as scikit-learn's ``fetch_openml`` keeps it: the description, the features, and the rows as ARFF."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ..catalog import DataError
from ..files import bounded, damaged, read_bytes
from .cells import MOST_BYTES, RawTable, checked_names
from .collections_of_tables import DESCRIPTION
from .text_file import Layout, read_rows, text_of

MOST_JSON = 2**26  # bytes
FEATURES = "api/v1/json/data/features/{}.gz"
ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s+(.+)""", re.IGNORECASE | re.DOTALL)
COMMENT = re.compile(rb"^%.*$", re.MULTILINE)
ODD = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class OpenmlSet:
    """One set, by its number, in the folder ``openml.org`` of a cache. DataError where it is damaged or sparse, or its
    rows have not the checksum of its description."""

    def __init__(self, folder: Path, number: str) -> None:
        self.file, self._folder = f"openml:{number}", folder
        try:
            about = self._json(DESCRIPTION.format(number))["data_set_description"]
            features = self._json(FEATURES.format(number))["data_features"]["feature"]
            path = urlparse(about["url"]).path.lstrip("/")
            data = self._bytes(f"{path}.gz", MOST_BYTES)
            found = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if about["format"].lower() == "sparse_arff":
                raise DataError(f"{self.file} is sparse, which cannot be had: take another set")
            if found != about["md5_checksum"]:
                raise damaged(folder / f"{path}.gz", f"its md5 is {found}, and not {about['md5_checksum']}")
            target = str(about.get("default_target_attribute") or "").split(",")[0].strip()
            self.label: str | None = target or None
            ignored = {str(each["name"]) for each in features if self._is_ignored(each)} - {target}
        except ODD as error:
            raise damaged(folder / DESCRIPTION.format(number), error) from None
        self._data = COMMENT.sub(b"", text_of(data, self.file))  # their lines stay, so that errors name the right one
        self._all, self._nominal, self._first = self._attributes()
        self.names = [name for name in self._all if name not in ignored]

    def read(self, texts: Collection[str]) -> RawTable:
        """All rows, without the columns that OpenML says to ignore; nominal attributes are texts. DataError with the
        line that is wrong."""
        body = self._data.count(b"'"), self._data.count(b'"')
        quote = "'" if body[0] >= body[1] else '"'
        layout = Layout(",", quote, "\\", self._first)
        read = read_rows(self._data, self._all, layout, self.file, {*texts, *self._nominal})
        kept = tuple(column for column in read.columns if column.name in self.names)
        return RawTable(self.file, kept, read.lines)

    @staticmethod
    def _is_ignored(feature: dict[str, Any]) -> bool:
        return "true" in (feature.get("is_ignore"), feature.get("is_row_identifier"))

    def _json(self, path: str) -> Any:
        return json.loads(self._bytes(path, MOST_JSON))

    def _bytes(self, path: str, most: int) -> bytes:
        place = self._folder / path
        if not place.resolve().is_relative_to(self._folder.resolve()):
            raise DataError(f"{self.file}: {path!r} is not in the cache")
        with gzip.open(io.BytesIO(read_bytes(place, most))) as file:
            return bounded(file, most, place)

    def _attributes(self) -> tuple[list[str], set[str], int]:
        """The columns, those of them that are nominal, and the line with the first row."""
        names, nominal, number = [], set(), 0
        for number, line in enumerate(map(_decoded, io.BytesIO(self._data)), start=1):
            word = line.lstrip().lower()
            if word.startswith("@data"):
                return checked_names(names or [""], self.file), nominal, number + 1
            if word.startswith("@attribute"):
                match = ATTRIBUTE.fullmatch(line.strip())
                if match is None:
                    raise DataError(f"{self.file}, line {number}: this is no attribute: {line.strip()[:80]!r}")
                name = match[1][1:-1].replace("\\", "") if match[1][0] in "'\"" else match[1]
                names.append(name)
                nominal |= {name} if match[2].startswith("{") else set()
        raise DataError(f"{self.file} has no line @data after {number} lines: it is no ARFF file")


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
