"""The catalog, and the real images."""

import hashlib
import lzma
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from small_datasets import small, write_cifar10
from tailboard.datasets import longtail, vision
from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError, register_dataset
from tailboard.datasets.readers import embedded
from tailboard.datasets.split import cut

JPEG_CIFAR10 = Path(__file__).parents[3] / "shared/data/cifar10/cifar10_jpg_tree.tar.xz"
DEBIAN = vision.DEBIAN_FASHION_MNIST


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


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_fashion_mnist_is_verified_and_makes_the_shipped_subset(tmp_path, monkeypatch):
    pool = vision.FASHION_MNIST.load(None, True)
    assert pool.verified
    assert np.bincount(pool.test.y).tolist() == [1000] * 10
    assert pool.train.x.mean() / 255 == pytest.approx(vision.FASHION_MNIST.mean[0], abs=5e-5)
    assert pool.train.x.std() / 255 == pytest.approx(vision.FASHION_MNIST.std[0], abs=5e-5)
    made = tmp_path / "made.npy.xz"
    quick = partial(lzma.compress, preset=0)  # larger, of the same bytes
    monkeypatch.setattr(embedded.lzma, "compress", quick)
    embedded.write(pool, made)
    assert hashlib.sha256(embedded.lzma.decompress(made.read_bytes())).hexdigest() == embedded.SHA256[7:]


@pytest.mark.slow
@pytest.mark.skipif(not JPEG_CIFAR10.is_file(), reason=f"needs {JPEG_CIFAR10}")
def test_the_real_cifar10_as_jpeg_is_usable_but_unverified(tmp_path):
    (tmp_path / "data").mkdir()
    # 60,000 files, which Python's tarfile takes three times as long for
    subprocess.run(["tar", "-xf", JPEG_CIFAR10, "-C", tmp_path / "data"], check=True)
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
