"""A table in a Parquet file. What it claims to hold is checked before memory is taken for it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..catalog import DataError
from ..files import read_bytes
from .cells import MOST_BYTES, Cells, RawTable, check_size, checked_names, of_texts

EXPANDED = 4  # times MOST_BYTES: what the columns may claim to be when unpacked


class ParquetFile:
    """A Parquet file of flat columns: numbers, texts, truth values, dates and times. DataError where it is none."""

    label: str | None = None

    def __init__(self, path: Path, only: Collection[str] | None = None) -> None:
        """``only`` names the columns that are read; without it all are, and one of them is the label."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file = path.name
        data = read_bytes(path, MOST_BYTES)
        try:
            about = pq.ParquetFile(io.BytesIO(data))
            schema = about.schema_arrow
            self.names = self._named(schema.names, only)
            self._places = [place for place, name in enumerate(self.names) if only is None or name in only]
            types = {schema.names[place]: schema.field(place).type for place in self._places}
            if nested := next((name for name, kind in types.items() if pa.types.is_nested(kind)), None):
                raise self._unfit(nested, types[nested])
            self._check(about.metadata, set(types))
            self._indexes = _indexes(schema)
            as_texts = [n for n, t in types.items() if pa.types.is_string(t) or pa.types.is_large_string(t)]
            self._open = pq.ParquetFile(io.BytesIO(data), read_dictionary=as_texts)  # a text is in memory once
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise self._damaged(error) from None

    def read(self, texts: Collection[str]) -> RawTable:
        """All rows; ``texts`` are columns that are texts whatever they hold. DataError where it is damaged."""
        import pyarrow as pa

        try:
            table = self._open.read([self._open.schema_arrow.names[place] for place in self._places])
            columns = [self._cells(self.names[place], table.column(n)) for n, place in enumerate(self._places)]
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise self._damaged(error) from None
        read = tuple(c.worded() if c.name in texts else c for c in columns)
        return RawTable(self.file, read, indexes=self._indexes)

    def _named(self, found: Sequence[str], only: Collection[str] | None) -> list[str]:
        """The names of its columns. DataError where those that are read are not fit to be told apart."""
        if only is None:
            return checked_names(found or [""], self.file)
        names = [str(name).strip() for name in found]
        if twice := [name for name, times in Counter(names).items() if times > 1 and name in only]:
            raise DataError(f"{self.file}: two columns are called {twice[0]!r}: rename one")
        return names

    def _check(self, about: Any, read: Collection[str]) -> None:
        """DataError where the columns that are read, none of which has parts, take more memory than they may."""
        if not about.num_rows:
            raise DataError(f"{self.file} has no rows")
        check_size(about.num_rows, len(read), self.file)
        paths = [about.schema.column(place).path for place in range(about.num_columns)]
        places = [place for place, path in enumerate(paths) if path in read]
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        if (
            sum(group.column(place).total_uncompressed_size for group in groups for place in places)
            > EXPANDED * MOST_BYTES
        ):
            raise DataError(f"{self.file} would take more than {EXPANDED * MOST_BYTES:,} bytes of memory")

    def _cells(self, name: str, values: Any) -> Cells:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = values.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            numbers = pc.cast(values, pa.float64(), safe=False)
            return Cells(name, np.array(numbers.to_numpy(zero_copy_only=False), np.float64))
        if pa.types.is_null(kind):
            return Cells(name, np.full(len(values), np.nan))
        if pa.types.is_boolean(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            values = self._written(values)
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_dictionary(values.type) or pa.types.is_string(values.type)):
            raise self._unfit(name, values.type)
        encoded = values.combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        return of_texts(name, codes.astype(np.int64), encoded.dictionary.to_pylist())

    @staticmethod
    def _written(values: Any) -> Any:
        """Truth values as ``true`` and ``false``, dates and times as of ISO 8601; a time that has a zone in UTC."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_timestamp(values.type):
            naive = pc.cast(values, pa.timestamp("us"), safe=False)
            return pc.call_function("strftime", [naive], pc.StrftimeOptions("%Y-%m-%dT%H:%M:%S"))
        return pc.cast(values, pa.string())

    def _unfit(self, name: str, kind: Any) -> DataError:
        return DataError(f"{self.file}: column {name!r} holds {kind}: numbers, texts and dates can be had")

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.file} cannot be read as Parquet: {' '.join(str(error).split())[:200]}")


def _indexes(schema: Any) -> frozenset[str]:
    """The columns in which pandas wrote the index of a frame, where the file says so."""
    try:
        words = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        return frozenset(word.strip() for word in words if isinstance(word, str))
    except (ValueError, KeyError, TypeError, RecursionError):  # it is written by something else
        return frozenset()
