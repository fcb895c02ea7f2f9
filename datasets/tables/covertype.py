"""Forest Cover (Blackard and Dean 1998) in three layouts: UCI's ``covtype.data.gz`` (or unpacked), what scikit-learn's
``fetch_covtype`` caches, and a CSV with a header, such as RAMP's part of it."""

from __future__ import annotations

import gzip
import io
import pickletools
import zlib
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..files import bounded, checksum, damaged, read_bytes, vouch
from ..group_split import CARVE_SEED
from ..split import Images, Pool
from .columns import Column

# Cover types 1 to 7 by their number of rows, the most frequent first.
TYPES = (2, 1, 3, 7, 6, 5, 4)
CLASSES = ("Lodgepole Pine", "Spruce/Fir", "Ponderosa Pine", "Krummholz", "Douglas-fir", "Aspen", "Cottonwood/Willow")
COUNTS = (283301, 211840, 35754, 20510, 17367, 9493, 2747)
NUMBERS = (
    *("Elevation", "Aspect", "Slope", "Horizontal_Distance_To_Hydrology", "Vertical_Distance_To_Hydrology"),
    *("Horizontal_Distance_To_Roadways", "Hillshade_9am", "Hillshade_Noon", "Hillshade_3pm"),
    "Horizontal_Distance_To_Fire_Points",
)
COLUMNS = (
    *map(Column, NUMBERS),
    *(Column(f"Wilderness_Area{i}") for i in range(1, 5)),
    *(Column(f"Soil_Type{i}") for i in range(1, 41)),
)
FILES = ("covtype.data.gz", "covtype.data")
OFFICIAL = "sha256:614360d0257557dd1792834a85a1cdebfadc3c4f30b011d56afee7ffb5b15771"  # of covtype.data.gz
RAMP = "covertype_ramp92962.csv.gz"
RAMP_SHA256 = "sha256:3d284e035f2e3fb220f7123979334a2a39c4242dc5d297684a28bc81f98eda8e"
RAMP_COUNTS = (45328, 33894, 5721, 3282, 2779, 1519, 439)
LARGEST = 2**29
TEST_SHARE = 5  # one row in so many of each class, drawn by a fixed seed: the official split trains on 11,340 rows


def read(folder: Path, verify: bool) -> Pool | None:
    """The whole set in UCI's layout or scikit-learn's. None where neither is there; DataError where it is damaged or,
    with ``verify``, not the official one (only the packed file has a checksum that is known)."""
    if cached := _scikit_learn(folder):
        x, y = cached
        if verify:
            raise DataError(f"{folder}: scikit-learn's cache has no official checksum; use --no-verify to take it")
        return _pool(x, y, False, {})
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    hashes = {path.name: checksum(path, "sha256")}
    verified = vouch(folder, hashes, {path.name: OFFICIAL}, verify)
    table = _numbers(path, header=False)
    return _pool(table[:, :-1], table[:, -1], verified, hashes)


def read_part(folder: Path, verify: bool) -> Pool | None:
    """RAMP's part of it: 92,962 rows in a CSV with a header, the ten numbers between 0 and 1."""
    path = folder / RAMP
    if not path.is_file():
        return None
    hashes = {path.name: checksum(path, "sha256")}
    verified = vouch(folder, hashes, {path.name: RAMP_SHA256}, verify)
    table = _numbers(path, header=True)
    return _pool(table[:, :-1], table[:, -1], verified, hashes)


def tested(counts: tuple[int, ...]) -> tuple[int, ...]:
    """The test rows of each class."""
    return tuple(count // TEST_SHARE for count in counts)


def _scikit_learn(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays that ``fetch_covtype`` keeps."""
    samples, targets = (folder / "covertype" / f"{name}_py3" for name in ("samples", "targets"))
    return (joblib_array(samples), joblib_array(targets)) if samples.is_file() and targets.is_file() else None


def joblib_array(path: Path) -> np.ndarray:
    """The one array of a file that ``joblib.dump(array, path, compress=9)`` wrote; the pickle in it is not run: its
    opcodes are read as far as the array's shape and type, and the numbers are the bytes before its last.

    DataError where the file holds anything else.
    """
    try:
        data = zlib.decompress(read_bytes(path, LARGEST))
        shape, kind = _array_header(data)
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        return np.frombuffer(data, kind, int(np.prod(shape)), len(data) - 1 - size).reshape(shape)
    except (ValueError, TypeError, zlib.error, OSError) as error:
        raise damaged(path, error) from None


def _array_header(data: bytes) -> tuple[tuple[int, ...], str]:
    """Shape and type of the array that a joblib file begins with. ValueError where it begins with none."""
    shape: list[int] = []
    word = ""
    for opcode, argument, _ in pickletools.genops(data):
        if word == "shape" and isinstance(argument, int) and "INT" in opcode.name:
            shape.append(argument)
        elif isinstance(argument, str):
            if argument in ("f8", "i4", "i8") and shape:
                return tuple(shape), f"<{argument}"
            word = argument if not shape or word != "shape" else "order"
    raise ValueError("it holds no array")


def _numbers(path: Path, header: bool) -> np.ndarray:
    """The table of a CSV of numbers, packed or not."""
    import pandas as pd

    opened = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opened(path, "rb") as file:
            text = bounded(file, LARGEST, path)
        table = pd.read_csv(io.BytesIO(text), header=0 if header else None, dtype=np.float64)
    except (OSError, EOFError, zlib.error, ValueError, pd.errors.ParserError) as error:
        raise damaged(path, error) from None
    return table.to_numpy()


def _pool(x: np.ndarray, types: np.ndarray, verified: bool, hashes: dict[str, str]) -> Pool:
    """A fifth of each class, drawn by a fixed seed, are the test rows."""
    if x.shape[1:] != (len(COLUMNS),) or not np.isin(types, TYPES).all():
        raise DataError(f"Forest Cover has {len(COLUMNS)} columns and the cover types 1 to 7, not {x.shape[1]} columns")
    y = np.argsort(TYPES)[types.astype(int) - 1]  # the place of each type among TYPES
    test = np.zeros(len(y), bool)
    for label in range(len(CLASSES)):
        members = np.random.default_rng([CARVE_SEED, label]).permutation(np.flatnonzero(y == label))
        test[members[: len(members) // TEST_SHARE]] = True
    x, y = np.ascontiguousarray(x, np.float64), y.astype(np.int64)
    return Pool(Images(x[~test], y[~test]), Images(x[test], y[test]), verified, hashes)
