"""fashion-mnist-mini: 9,000 images of the real Fashion-MNIST that the wheel ships, so that a first run needs no data.

The file is one array of unsigned bytes, (10 classes, 600 training then 300 test images, 28, 28), as .npy in .xz:
3.4 MB and 0.2 s to load (a lossless WebP mosaic took 3.5 MB and 34 s to write, PNG 3.5, bz2 3.6). Made by

    python -c "from tailboard.datasets import vision; import tailboard.datasets.readers.embedded as embedded; \
        embedded.write(vision.FASHION_MNIST.load(None, True))"
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path

import numpy as np

from ..catalog import Dataset, register_dataset
from ..files import checksum_bytes, damaged, vouch
from ..split import Images, Pool, cut
from ..vision import FASHION_MNIST

FILE = Path(__file__).parents[1] / "embedded_data" / "fashion-mnist-mini.npy.xz"
# Of the decompressed bytes: another version of liblzma may compress them otherwise.
SHA256 = "sha256:9ee02621c15e13e4977d0fa135c8eafbfc50690f5317967436ce2f58e5cb678c"
CLASSES, TRAIN, TEST = 10, 600, 300
SEED = 0


def load(root: Path | None, verify: bool) -> Pool:
    """The shipped subset, ordered by class; ``root`` is not looked at.

    Raises DataError where the installed file is damaged or (with ``verify``) not the one that was published.
    """
    try:
        raw = lzma.decompress(FILE.read_bytes())
        x = np.load(io.BytesIO(raw), allow_pickle=False).reshape(CLASSES, TRAIN + TEST, 1, 28, 28)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise damaged(FILE, error) from None
    found = {FILE.name: checksum_bytes(raw, "sha256")}
    verified = vouch(FILE.parent, found, {FILE.name: SHA256}, verify)
    return Pool(_flatten(x[:, :TRAIN]), _flatten(x[:, TRAIN:]), verified, found)


def write(pool: Pool, file: Path = FILE) -> None:
    """Make the shipped subset out of the whole of Fashion-MNIST, drawn without replacement by a fixed seed."""
    train = cut(pool, [TRAIN] * CLASSES, SEED).train
    test = cut(Pool(pool.test, pool.test, pool.verified), [TEST] * CLASSES, SEED).train
    x = np.concatenate([_by_class(train), _by_class(test)], axis=1)
    buffer = io.BytesIO()
    np.save(buffer, x)
    file.write_bytes(lzma.compress(buffer.getvalue()))


def _by_class(images: Images) -> np.ndarray:
    """Class-balanced images as an array (class, image, 28, 28), in their order within each class."""
    return images.x[np.argsort(images.y, kind="stable")].reshape(CLASSES, -1, 28, 28)


def _flatten(x: np.ndarray) -> Images:
    """The images of an array (class, image, 1, 28, 28) with their labels."""
    return Images(x.reshape(-1, 1, 28, 28).copy(), np.repeat(np.arange(CLASSES), x.shape[1]))


register_dataset(
    Dataset(
        name="fashion-mnist-mini",
        classes=FASHION_MNIST.classes,
        available=(TRAIN,) * CLASSES,
        head=500,  # not all 600, so that each seed cuts a tail of its own and validation has images left
        shape=FASHION_MNIST.shape,
        mean=FASHION_MNIST.mean,
        std=FASHION_MNIST.std,
        load=load,
        layout="none: installed with tailboard",
        how="no file is needed: it is in the package",
        terms=FASHION_MNIST.terms,
        description="6,000 + 3,000 of Fashion-MNIST's images, class-balanced; needs no files and no network",
        tested=(TEST,) * CLASSES,
        official={FILE.name: SHA256},
    )
)
