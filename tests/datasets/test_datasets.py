"""What ``datasets`` promises: the literature's exact tails, subsets by seed, and only bytes that are vouched for."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tailboard.datasets import files as sources
from tailboard.datasets import longtail, vision
from tailboard.datasets.array_cache import open_cached
from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError, register_dataset
from tailboard.datasets.readers import cifar, embedded, idx, tree
from tailboard.datasets.split import Images, Pool, cut

JPEG_CIFAR10 = Path(__file__).parents[3] / "shared/data/cifar10/cifar10_jpg_tree.tar.xz"
DEBIAN = vision.DEBIAN_FASHION_MNIST


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path, monkeypatch):
    """No test sees the user's own data or cache, nor leaves anything in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("TAILBOARD_DATA", raising=False)


# ---- long tails -------------------------------------------------------------------------------------------------

CIFAR10_TAILS = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    50: [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
}
CINIC10_TAILS = {
    100: [9000, 5395, 3234, 1938, 1162, 696, 417, 250, 150, 90],
    1000: [9000, 4177, 1938, 900, 417, 193, 90, 41, 19, 9],
}


def tail(classes, head, imbalance_factor, profile="exp"):
    return longtail.counts(profile, [head] * classes, head, imbalance_factor)


def sizes(groups):
    return tuple(groups.count(name) for name in ("many", "med", "few"))


@pytest.mark.parametrize(("head", "tails"), [(5000, CIFAR10_TAILS), (9000, CINIC10_TAILS)])
def test_exponential_counts_of_ten_classes_are_the_published_ones(head, tails):
    for imbalance_factor, expected in tails.items():
        assert tail(10, head, imbalance_factor) == tuple(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((10, 5000, 10), (20431, 500, (10, 0, 0))),
        ((10, 5000, 50), (13996, 100, (9, 1, 0))),
        ((10, 5000, 100), (12406, 50, (8, 2, 0))),
        ((100, 500, 10), (19573, 50, (69, 31, 0))),
        ((100, 500, 50), (12608, 10, (41, 41, 18))),
        ((100, 500, 100), (10847, 5, (35, 35, 30))),
        ((10, 9000, 10), (36779, 900, (10, 0, 0))),
        ((10, 9000, 50), (25197, 180, (10, 0, 0))),
        ((10, 9000, 100), (22332, 90, (9, 1, 0))),
        ((10, 9000, 200), (20168, 45, (8, 2, 0))),
        ((10, 9000, 450), (18240, 20, (7, 3, 0))),
        ((10, 9000, 451), (18234, 19, (7, 2, 1))),
        ((10, 9000, 1000), (16784, 9, (6, 2, 2))),
    ],
)
def test_totals_and_shots_are_the_published_ones(arguments, expected):
    counts = tail(*arguments)
    assert (sum(counts), counts[-1], sizes(longtail.shots(counts))) == expected


def test_cifar100_counts_at_both_ends():
    assert tail(100, 500, 10)[:5] + tail(100, 500, 10)[-5:] == (500, 488, 477, 466, 455, 54, 53, 52, 51, 50)
    assert tail(100, 500, 50)[-5:] == (11, 11, 10, 10, 10)
    assert tail(100, 500, 100)[:5] + tail(100, 500, 100)[-5:] == (500, 477, 455, 434, 415, 6, 5, 5, 5, 5)


def test_step_keeps_the_first_half_whole():
    assert tail(10, 5000, 100, "step") == (5000,) * 5 + (50,) * 5
    assert tail(3, 10, 3, "step") == (10, 3, 3)


def test_train_ratio_is_the_inverse_of_the_imbalance_factor():
    for ratio in (1, 0.5, 0.1, 0.01, 0.001):
        assert min(tail(10, 9000, longtail.factor(ratio))) == round(9000 * ratio)


@given(
    profile=st.sampled_from(longtail.PROFILES),
    available=st.lists(st.integers(1, 10_000), min_size=2, max_size=120),
    head=st.integers(1, 10_000),
    share=st.floats(0, 1),
)
def test_counts_fall_from_head_to_head_over_factor(profile, available, head, share):
    largest = min(head, available[0])
    imbalance_factor = 1 + share * (largest - 1)
    counts = longtail.counts(profile, available, head, imbalance_factor)
    assert all(1 <= count <= limit for count, limit in zip(counts, available, strict=True))
    unlimited = longtail.counts(profile, [largest] * len(available), head, imbalance_factor)
    assert list(unlimited) == sorted(unlimited, reverse=True)
    assert unlimited[0] == largest
    assert unlimited[-1] == pytest.approx(largest / imbalance_factor, abs=1)
    assert set(longtail.counts(profile, [largest] * len(available), head, 1)) == {largest}


@given(root=st.integers(2, 5), classes=st.integers(2, 8))
def test_whole_numbers_survive_floating_point(root, classes):
    head = root ** (classes - 1)
    assert tail(classes, head, head) == tuple(root**i for i in reversed(range(classes)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("expo", [9, 9], 9, 3), "unknown imbalance profile 'expo'"),
        (("exp", [9], 9, 3), "at least two classes"),
        (("exp", [9, 9], 9, 0.5), "at least 1"),
        (("exp", [9, 9], 9, float("nan")), "at least 1"),
        (("exp", [9, 0], 9, 3), "every class needs images"),
        (("exp", [9, 9, 9], 9, 10), "class 2 would get 0 training images .* at most 9"),
        (("step", [9, 9, 9], 9, 10), "class 1 would get 0 training images .* at most 9"),
    ],
)
def test_bad_tails_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        longtail.counts(*arguments)


@pytest.mark.parametrize("ratio", [0, -0.1, 1.1, float("nan")])
def test_bad_train_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match="train_ratio"):
        longtail.factor(ratio)


def test_shots_put_both_boundaries_in_med():
    assert longtail.shots([101, 100, 20, 19]) == ("many", "med", "med", "few")


def test_terciles_of_ten_classes_are_three_four_three_by_rank():
    assert longtail.terciles(CINIC10_TAILS[100]) == ("many",) * 3 + ("med",) * 4 + ("few",) * 3
    assert longtail.terciles([1, 3, 2]) == ("few", "many", "med")
    assert sizes(longtail.terciles([5] * 100)) == (33, 34, 33)


# ---- subsets ----------------------------------------------------------------------------------------------------


def numbered(per_class, classes=3):
    """A pool whose images are numbered, so that each can be recognised."""
    y = np.tile(np.arange(classes), per_class)
    images = Images(np.arange(len(y), dtype=np.uint8).reshape(-1, 1, 1, 1), y)
    return Pool(images, images, verified=True)


def names(images):
    return images.x.ravel().tolist()


def test_a_subset_is_drawn_by_seed_without_replacement():
    pool = numbered(20)
    split = cut(pool, [12, 6, 3], seed=1)
    assert len(set(names(split.train))) == len(split.train) == 21
    assert np.bincount(split.train.y).tolist() == [12, 6, 3]
    assert (split.train.y == split.train.x.ravel() % 3).all()
    assert cut(pool, [12, 6, 3], seed=1).fingerprint == split.fingerprint
    assert cut(pool, [12, 6, 3], seed=2).fingerprint != split.fingerprint
    assert split.val is None


def test_validation_is_balanced_and_shares_nothing_with_training():
    split = cut(numbered(20), [12, 6, 3], seed=1, val_per_class=5)
    assert split.val is not None
    assert np.bincount(split.val.y).tolist() == [5, 5, 5]
    assert not set(names(split.val)) & set(names(split.train))


def test_a_longer_tail_is_a_subset_of_a_shorter_one():
    short, long = (cut(numbered(20), counts, seed=3, val_per_class=2) for counts in ([12, 9, 6], [12, 6, 3]))
    assert set(names(long.train)) < set(names(short.train))
    assert names(long.val) == names(short.val)


def test_more_than_there_is_cannot_be_cut():
    with pytest.raises(ValueError, match="class 1 has 20 training images, but 18 for training and 3 for valid"):
        cut(numbered(20), [9, 18, 9], seed=0, val_per_class=3)


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
        assert re.match("x is damaged or cut short|x was written by other software", str(error))
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


# ---- where files are looked for, and what is kept ---------------------------------------------------------------


def test_missing_data_says_where_it_looked_and_how_to_get_it_and_opens_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("load opened the network"))
    with pytest.raises(DataError) as caught:
        vision.CIFAR10.load(tmp_path / "nowhere", True)
    message = str(caught.value)
    for part in (
        f"{tmp_path}/nowhere/cifar10  (no such folder)",
        f"{tmp_path}/xdg/tailboard",
        "cifar-10-batches-py/{data_batch_1..5,test_batch}",
        f"tailboard data prepare cifar10 --root {tmp_path}/nowhere",
        "Terms: none formal",
    ):
        assert part in message


def test_root_comes_before_the_variable_before_the_cache_and_the_name_before_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILBOARD_DATA", str(tmp_path / "variable"))
    assert [str(place.relative_to(tmp_path)) for place in sources.places("x", tmp_path / "root")] == [
        *("root/x", "root", "variable/x", "variable", "xdg/tailboard/x", "xdg/tailboard")
    ]
    write_tree(tmp_path / "variable/cifar10")
    write_cifar10(tmp_path / "xdg/tailboard")
    dataset = small(monkeypatch, "CIFAR10")
    assert same(dataset.load(None, False).train, by_class(TRAIN))
    write_cifar10(tmp_path / "root")
    assert same(dataset.load(tmp_path / "root", False).train, TRAIN)


def test_images_are_decoded_once_until_a_file_changes(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "data")
    dataset, decode, times = small(monkeypatch, "CIFAR10"), tree._decode, []
    monkeypatch.setattr(tree, "_decode", lambda *arguments: times.append(1) or decode(*arguments))
    first, second = (open_cached(dataset, root, False).pool for _ in range(2))
    assert len(times) == 1
    assert same(second.train, first.train) and same(second.test, first.test)
    assert second.hashes == first.hashes
    (root / "train/cat/0003.png").write_bytes(png(np.zeros((3, 32, 32), np.uint8)))
    assert not same(open_cached(dataset, root, False).pool.train, first.train)
    (root / "train/cat/0004.png").write_bytes(png(np.zeros((3, 32, 32), np.uint8)))
    with pytest.raises(DataError, match="images of class 'cat'"):
        open_cached(dataset, root, False)
    assert len(times) == 3
    with pytest.raises(DataError, match="no official checksum"):  # what is kept vouches for nothing
        open_cached(dataset, root, True)


def test_labels_are_a_file_of_their_own_that_nobody_writes(tmp_path, monkeypatch):
    cached = open_cached(small(monkeypatch, "CIFAR10"), write_tree(tmp_path / "data"), False)
    files = {path.name: path for path in cached.folder.glob("*.npy")}
    assert set(files) == {"train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"}
    assert np.array_equal(np.load(files["test_labels.npy"]), cached.pool.test.y)
    assert all(path.stat().st_mode & 0o222 == 0 for path in files.values())
    assert not any(
        array.flags.writeable for images in (cached.pool.train, cached.pool.test) for array in (images.x, images.y)
    )
    guarded = {Path(path).name for path in cached.guarded}
    assert guarded > {"train_labels.npy", "test_images.npy", "test_labels.npy"} and "train_images.npy" not in guarded


def test_what_was_kept_but_does_not_read_back_is_decoded_again(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "data")
    dataset = small(monkeypatch, "CIFAR10")
    first = open_cached(dataset, root, False).pool.train.x.copy()
    (folder,) = (path for path in (tmp_path / "xdg/tailboard/arrays").iterdir() if path.is_dir())
    for file in ("train_images.npy", "about.json"):
        whole = (folder / file).read_bytes()
        for damaged in (b"", whole[:5000], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
            (folder / file).unlink()
            (folder / file).write_bytes(damaged)
            assert np.array_equal(open_cached(dataset, root, False).pool.train.x, first)
            assert file == "about.json" or (folder / file).read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "data")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="could not be kept"):
        pool = open_cached(small(monkeypatch, "CIFAR10"), root, False).pool
    assert same(pool.train, by_class(TRAIN))


# ---- fetching, from this machine only ---------------------------------------------------------------------------


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and the address at which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def offer_cifar10(served, monkeypatch, archive):
    monkeypatch.setattr(vision, "CIFAR10_URL", served[1] + archive.name)
    monkeypatch.setattr(vision, "CIFAR10_MD5", sources.checksum(archive, "md5").removeprefix("md5:"))


def test_prepare_fetches_unpacks_and_load_finds_it(tmp_path, monkeypatch, served):
    members = [(f"cifar-10-batches-py/{p.name}", p.read_bytes()) for p in write_cifar10(tmp_path / "made").iterdir()]
    offer_cifar10(served, monkeypatch, write_tar(served[0] / "cifar-10-python.tar.gz", members))
    assert vision.CIFAR10.prepare(tmp_path / "root") == tmp_path / "root/cifar10"
    assert same(small(monkeypatch, "CIFAR10").load(tmp_path / "root", False).train, TRAIN)
    monkeypatch.setattr(vision, "CIFAR10_URL", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # nobody serves there
    assert vision.CIFAR10.prepare(tmp_path / "root") == tmp_path / "root/cifar10"


def test_prepare_without_a_root_fills_the_cache(tmp_path, monkeypatch, served):
    offer_cifar10(served, monkeypatch, write_tar(served[0] / "cifar-10-python.tar.gz", [("x", b"")]))
    assert vision.CIFAR10.prepare(None) == tmp_path / "xdg/tailboard/cifar10"
    assert (tmp_path / "xdg/tailboard/cifar10/x").is_file()


def test_prepare_of_a_truncated_archive_is_one_clear_error(tmp_path, monkeypatch, served):
    archive = write_tar(served[0] / "cifar-10-python.tar.gz", [("x", random_images(9, seed=3).x.tobytes())])
    archive.write_bytes(archive.read_bytes()[:9000])
    offer_cifar10(served, monkeypatch, archive)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz is damaged or cut short"):
        vision.CIFAR10.prepare(tmp_path / "root")


def test_prepare_fetches_single_files(tmp_path, monkeypatch, served):
    found = {path.name: sources.checksum(path, "md5").removeprefix("md5:") for path in write_idx(served[0]).iterdir()}
    monkeypatch.setattr(vision, "FASHION_MNIST_URL", served[1])
    monkeypatch.setattr(vision, "FASHION_MNIST_MD5", found)
    vision.FASHION_MNIST.prepare(tmp_path / "root")
    assert same(small(monkeypatch, "FASHION_MNIST", tested=2).load(tmp_path / "root", False).train, FASHION)


def test_prepare_refuses_what_has_another_checksum_and_what_is_not_there(tmp_path, monkeypatch, served):
    (served[0] / "content").write_bytes(b"not it")
    monkeypatch.setattr(vision, "CINIC10_URL", served[1] + "content")
    with pytest.raises(DataError, match=r"could not be fetched.*CINIC-10.tar.gz .md5 6ee4d0c996905fe93221de577967a372"):
        vision.CINIC10.prepare(tmp_path / "root")
    monkeypatch.setattr(vision, "CIFAR100_URL", served[1] + "absent.tar.gz")
    with pytest.raises(DataError, match=r"could not be fetched: .*404"):
        vision.CIFAR100.prepare(tmp_path / "root")


def test_prepare_writes_nothing_outside_its_folder(tmp_path, monkeypatch, served):
    offer_cifar10(served, monkeypatch, write_tar(served[0] / "evil.tar.gz", [("../../escaped", b"")]))
    with pytest.raises(DataError, match="outside the destination"):
        vision.CIFAR10.prepare(tmp_path / "root")
    assert not (tmp_path / "escaped").exists()


def test_pinned_checksums_are_torchvisions():
    datasets = pytest.importorskip("torchvision.datasets")
    assert dict(datasets.FashionMNIST.resources) == vision.FASHION_MNIST_MD5
    for theirs, ours, url, md5 in (
        (datasets.CIFAR10, cifar.CIFAR10, vision.CIFAR10_URL, vision.CIFAR10_MD5),
        (datasets.CIFAR100, cifar.CIFAR100, vision.CIFAR100_URL, vision.CIFAR100_MD5),
    ):
        assert (theirs.url, theirs.tgz_md5, theirs.base_folder) == (url, md5, ours.folder)
        assert {name: f"md5:{value}" for name, value in theirs.train_list} == ours.train
        assert {name: f"md5:{value}" for name, value in theirs.test_list} == ours.test


# ---- the catalog, and the real images ---------------------------------------------------------------------------


def test_the_catalog_knows_the_image_sets():
    known = catalog()
    for name in ("fashion-mnist-mini", "fashion-mnist", "cifar10", "cifar100", "cinic10"):
        dataset = known[name]
        assert len(dataset.available) == len(set(dataset.classes))
        assert dataset.head <= max(dataset.available)
        assert len(dataset.mean) == len(dataset.std) == dataset.shape[0]
    with pytest.raises(ValueError, match="already registered"):
        register_dataset(known["cifar10"])
    assert len(known["cifar100"].classes) == 100
    assert list(known["cifar100"].classes) == sorted(known["cifar100"].classes)


def test_planning_needs_no_torch():
    code = "import sys, tailboard.datasets.longtail, tailboard.datasets.catalog as c; c.catalog()"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_the_shipped_subset_is_whole_and_balanced():
    dataset = catalog()["fashion-mnist-mini"]
    pool = dataset.load(None, True)
    assert pool.verified
    assert pool.train.x.shape == (6000, *dataset.shape)
    assert np.bincount(pool.train.y).tolist() == list(dataset.available)
    assert np.bincount(pool.test.y).tolist() == list(dataset.tested) and pool.hashes == dataset.official
    assert np.bincount(pool.test.y).tolist() == [300] * 10
    counts = longtail.counts("exp", dataset.available, dataset.head, 100)
    assert (counts[0], counts[-1]) == (500, 5)
    assert np.bincount(cut(pool, counts, seed=0, val_per_class=100).train.y).tolist() == list(counts)


def test_a_damaged_shipped_subset_is_refused(tmp_path, monkeypatch):
    whole = embedded.FILE.read_bytes()
    monkeypatch.setattr(embedded, "FILE", tmp_path / "copy.npy.xz")
    embedded.FILE.write_bytes(whole[:-1000])
    with pytest.raises(DataError, match="damaged or cut short"):
        embedded.load(None, True)
    embedded.FILE.write_bytes(whole)
    monkeypatch.setattr(embedded, "SHA256", "sha256:other")
    with pytest.raises(DataError, match="not the official file"):
        embedded.load(None, True)
    assert not embedded.load(None, False).verified


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_fashion_mnist_is_verified_and_makes_the_shipped_subset(tmp_path):
    pool = vision.FASHION_MNIST.load(None, True)
    assert pool.verified
    assert np.bincount(pool.test.y).tolist() == [1000] * 10
    assert pool.train.x.mean() / 255 == pytest.approx(vision.FASHION_MNIST.mean[0], abs=5e-5)
    assert pool.train.x.std() / 255 == pytest.approx(vision.FASHION_MNIST.std[0], abs=5e-5)
    made = tmp_path / "made.npy.xz"
    embedded.write(pool, made)
    assert hashlib.sha256(embedded.lzma.decompress(made.read_bytes())).hexdigest() == embedded.SHA256[7:]


@pytest.mark.slow
@pytest.mark.skipif(not JPEG_CIFAR10.is_file(), reason=f"needs {JPEG_CIFAR10}")
def test_the_real_cifar10_as_jpeg_is_usable_but_unverified(tmp_path):
    with tarfile.open(JPEG_CIFAR10) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    pool = vision.CIFAR10.load(tmp_path / "data", False)
    assert not pool.verified
    assert np.bincount(pool.test.y).tolist() == [1000] * 10
    assert pool.train.x.mean((0, 2, 3)) / 255 == pytest.approx(vision.CIFAR10.mean, abs=1e-3)
    counts = longtail.counts("exp", vision.CIFAR10.available, vision.CIFAR10.head, 100)
    assert len(cut(pool, counts, seed=0).train) == 12406


def test_a_copy_without_all_of_its_test_images_is_refused(tmp_path, monkeypatch):
    """Its numbers would be of other images, and a bundle of it would be refused by whoever knows how many there are."""
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match="holds 1 test images of class 'airplane' where cifar10 has 2"):
        small(monkeypatch, "CIFAR10", tested=2).load(tmp_path, False)
