"""The official files of the data sets, with a few random images."""

import dataclasses
import gzip
import io
import struct
import tarfile

import numpy as np
from PIL import Image

from tailboard.datasets import files as sources
from tailboard.datasets import vision
from tailboard.datasets.readers import cifar
from tailboard.datasets.split import Images

# ---- official files, in small -----------------------------------------------------------------------------------


def random_images(per_class, seed, classes=10, shape=(3, 32, 32)):
    y = np.tile(np.arange(classes), per_class)
    x = np.random.default_rng(seed).integers(0, 256, (len(y), *shape), np.uint8)
    return Images(x, y)


TRAIN, TEST = random_images(2, seed=0), random_images(1, seed=1)


def same(found, expected):
    return np.array_equal(found.x, expected.x) and np.array_equal(found.y, expected.y) and found.x.dtype == np.uint8


def by_class(images):
    return images.take(np.argsort(images.y, kind="stable"))


def small(monkeypatch, name, tested=1):
    """The catalog's data set, made to expect two training images of each class and ``tested`` test images."""
    dataset = dataclasses.replace(getattr(vision, name), available=(2,) * 10, tested=(tested,) * 10)
    monkeypatch.setattr(vision, name, dataset)
    return dataset


def batch(images, key="labels"):
    """A CIFAR batch as Python 2 wrote it: a protocol 2 pickle whose strings are bytes, here opcode by opcode."""

    def text(value):
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value):
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + number(-1) * 2 + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    shape = number(len(images)) + number(3072) + b"\x86"
    array = empty + b"(K\x01" + shape + dtype + b"\x89" + text(images.x.tobytes()) + b"tb"
    labels = b"](" + b"".join(map(number, images.y.tolist())) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + labels + b"u."


def write_cifar10(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i in range(5):
        (folder / f"data_batch_{i + 1}").write_bytes(batch(TRAIN.take(np.arange(4 * i, 4 * i + 4))))
    (folder / "test_batch").write_bytes(batch(TEST))
    return folder


def md5s(folder, official):
    return {name: sources.checksum(folder / name, "md5") for name in official}


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def files():
    """Path and bytes of each file of a tree."""
    for part, images in (("train", TRAIN), ("valid", TEST), ("test", TEST)):
        for i, (pixels, label) in enumerate(zip(images.x, images.y, strict=True)):
            yield f"{part}/{cifar.CLASSES10[label]}/{i:04}.png", png(pixels)


def write_tree(root):
    for name, data in files():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_tar(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


FASHION = random_images(2, seed=2, shape=(1, 28, 28))


def write_idx(root, compress=gzip.compress, suffix=".gz"):
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        x = struct.pack(">HBB3I", 0, 8, 3, len(FASHION), 28, 28) + FASHION.x.tobytes()
        y = struct.pack(">HBBI", 0, 8, 1, len(FASHION)) + FASHION.y.astype(np.uint8).tobytes()
        (root / f"{part}-images-idx3-ubyte{suffix}").write_bytes(compress(x))
        (root / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(compress(y))
    return root
