"""Each layout is read as its official reader reads it, and what is damaged or foreign is one clear error."""

import dataclasses
import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_datasets import (
    FASHION,
    TEST,
    TRAIN,
    batch,
    by_class,
    files,
    md5s,
    png,
    same,
    small,
    write_cifar10,
    write_idx,
    write_tar,
    write_tree,
)
from tailboard.datasets import files as sources
from tailboard.datasets import vision
from tailboard.datasets.catalog import DataError
from tailboard.datasets.readers import cifar, idx, tree
from tailboard.datasets.split import Images


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cifar_batches_are_read_without_trust_as_pickle_reads_them_with_trust(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    trusted = pickle.loads(batch(TEST), encoding="latin1")  # noqa: S301  (our own bytes)
    pool = small(monkeypatch, "CIFAR10").load(tmp_path, False)
    assert same(pool.train, TRAIN)
    assert same(pool.test, Images(trusted["data"].reshape(-1, 3, 32, 32), np.array(trusted["labels"])))
    assert not pool.verified


def test_cifar100_has_fine_labels(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, images in (("train", TRAIN), ("test", TEST)):
        (folder / name).write_bytes(batch(images, key="fine_labels"))
    official = md5s(folder, ("train", "test"))
    batches = dataclasses.replace(cifar.CIFAR100, train={"train": official["train"]}, test={"test": official["test"]})
    pool = cifar.read(tmp_path, True, batches)
    assert pool.verified
    assert pool.hashes == official
    assert same(pool.train, TRAIN)


def test_a_pickle_cannot_run_anything(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    folder = write_cifar10(tmp_path)
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": Bomb(), "labels": [1]}, protocol=2))
    with pytest.raises(DataError, match=r"data_batch_1 was written by other software: it asks for \w+\.mkdir"):
        cifar.read(tmp_path, False, cifar.CIFAR10)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path) + b"/ran'\ntR.")
    with pytest.raises(DataError, match=r"it asks for os\.system"):
        cifar.read(tmp_path, False, cifar.CIFAR10)
    assert not (tmp_path / "ran").exists()


ONE_BATCH, ONE_PNG = batch(TEST), png(TEST.x[0])


@settings(max_examples=300)
@given(place=st.integers(0, 400) | st.integers(len(ONE_BATCH) - 60, len(ONE_BATCH) - 1), value=st.integers(0, 255))
def test_any_damaged_byte_of_a_pickle_is_at_worst_a_data_error(place, value):
    data = bytearray(ONE_BATCH)
    data[place] = value
    try:
        images = cifar._parse(bytes(data), "labels", Path("x"))
    except DataError as error:
        assert str(error).startswith(("x is damaged or cut short", "x was written by other software"))
    else:
        assert len(images) == len(TEST)


@pytest.mark.filterwarnings("ignore:Image size")
@settings(max_examples=300)
@given(place=st.integers(0, len(ONE_PNG) - 1), value=st.integers(0, 255))
def test_any_damaged_byte_of_an_image_is_at_worst_a_data_error(place, value):
    data = bytearray(ONE_PNG)
    data[place] = value
    try:
        assert tree._pixels(bytes(data), "x").shape == (32, 32, 3)
    except DataError as error:
        assert str(error).startswith("x ")


def test_a_tree_is_read_by_class_and_name_and_never_verified(tmp_path, monkeypatch):
    write_tree(tmp_path / "cifar10")
    (tmp_path / "cifar10/train/cat/._0001.png").write_bytes(b"left by macOS")
    dataset = small(monkeypatch, "CIFAR10")
    with pytest.raises(DataError, match=r"no official checksum.*--no-verify"):
        dataset.load(tmp_path, True)
    pool = dataset.load(tmp_path, False)
    assert same(pool.train, by_class(TRAIN))
    assert same(pool.test, by_class(TEST))
    assert not pool.verified


def test_an_archive_is_read_whatever_its_order_without_unpacking(tmp_path, monkeypatch):
    shuffled = [(f"./{name}", data) for name, data in sorted(files(), key=lambda file: file[0][::-1])]
    path = write_tar(tmp_path / "cinic10/CINIC-10.tar.gz", shuffled)
    pool = small(monkeypatch, "CINIC10").load(tmp_path, False)
    assert same(pool.train, by_class(TRAIN))
    assert same(pool.test, by_class(TEST))
    assert not pool.verified
    assert list(path.parent.iterdir()) == [path]
    official = sources.checksum(path, "md5")
    assert tree.read_archive(path.parent, True, cifar.CLASSES10, path.name, official).verified


@pytest.mark.parametrize(("folder", "suffix"), [("fashion-mnist", ".gz"), (".", ""), ("FashionMNIST/raw", ".gz")])
def test_idx_files_are_read_gzipped_or_not_and_where_torchvision_puts_them(tmp_path, monkeypatch, folder, suffix):
    write_idx(tmp_path / folder, gzip.compress if suffix else bytes, suffix)
    pool = small(monkeypatch, "FASHION_MNIST", tested=2).load(tmp_path, False)
    assert same(pool.train, FASHION)
    assert same(pool.test, FASHION)
    assert not pool.verified
    assert idx.read(tmp_path / folder, True, pool.hashes).verified


WRITERS = {
    "FASHION_MNIST": (write_idx, "train-images-idx3-ubyte.gz"),
    "CIFAR10": (write_cifar10, "cifar-10-batches-py/data_batch_2"),
    "CINIC10": (lambda root: write_tar(root / "CINIC-10.tar.gz", files()), "CINIC-10.tar.gz"),
}
TREE_WRITER = ("CIFAR10", write_tree, "train/cat/0003.png")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_not_the_official_one_is_refused_and_says_what_to_do(tmp_path, name):
    WRITERS[name][0](tmp_path)
    with pytest.raises(DataError, match=r"not the official file: found \w+:\w+, expected \w+:\w+.*--no-verify"):
        getattr(vision, name).load(tmp_path, True)


@pytest.mark.parametrize(("name", "write", "file"), [(n, *w) for n, w in WRITERS.items()] + [TREE_WRITER])
@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.5, 0.9])
def test_a_truncated_file_is_one_clear_error(tmp_path, name, write, file, share):
    write(tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=rf"{Path(file).name} is damaged or cut short \(.+\): delete it"):
        getattr(vision, name).load(tmp_path, False)


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("FASHION_MNIST", "train-images-idx3-ubyte.gz", "lacks train-images-idx3-ubyte.gz"),
        ("CIFAR10", "cifar-10-batches-py/data_batch_2", "lacks data_batch_2"),
    ],
)
def test_a_missing_file_beside_others_is_named(tmp_path, name, file, message):
    WRITERS[name][0](tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=message):
        getattr(vision, name).load(tmp_path, False)


def test_a_copy_with_too_few_images_is_refused(tmp_path, monkeypatch):
    write_tree(tmp_path)
    dataset = small(monkeypatch, "CIFAR10")
    (tmp_path / "train/cat/0003.png").unlink()
    with pytest.raises(DataError, match="holds 1 training images of class 'cat' where cifar10 has 2"):
        dataset.load(tmp_path, False)


def test_a_label_outside_the_classes_is_refused(tmp_path, monkeypatch):
    folder = write_cifar10(tmp_path)
    (folder / "test_batch").write_bytes(batch(Images(TEST.x, TEST.y - 1)))
    with pytest.raises(DataError, match="labels outside 0 to 9"):
        small(monkeypatch, "CIFAR10").load(tmp_path, False)


def test_a_file_that_may_not_be_read_is_one_clear_error(tmp_path, monkeypatch):
    def refuse(path, most):
        raise PermissionError(13, "Permission denied", str(path))

    write_cifar10(tmp_path)
    monkeypatch.setattr(cifar, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"'cifar10' could not be read: .*Permission denied: .*data_batch_1"):
        vision.CIFAR10.load(tmp_path, False)


def test_an_image_of_another_size_is_refused(tmp_path, monkeypatch):
    write_tree(tmp_path)
    (tmp_path / "train/cat/0003.png").write_bytes(png(np.zeros((3, 64, 32), np.uint8)))
    with pytest.raises(DataError, match=r"0003.png measures \(32, 64\) pixels"):
        small(monkeypatch, "CIFAR10").load(tmp_path, False)
