"""The image data sets that are read from official files: Fashion-MNIST, CIFAR-10, CIFAR-100 and CINIC-10."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .catalog import Dataset, register_dataset
from .fetching import destination, fetch, unpack
from .readers import cifar, idx, tree
from .readers.official_files import Reader, load_official

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
CIFAR100_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
CINIC10_URL = "https://datashare.ed.ac.uk/server/api/core/bitstreams/e8e186cc-2688-48f1-aa5a-3fda1a43f8b6/content"
CINIC10_FILE = "CINIC-10.tar.gz"
CINIC10_MD5 = "6ee4d0c996905fe93221de577967a372"

FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

CIFAR10_READERS: tuple[Reader, ...] = (
    partial(cifar.read, batches=cifar.CIFAR10),
    partial(tree.read_folder, classes=cifar.CLASSES10),
)
CIFAR100_READERS: tuple[Reader, ...] = (
    partial(cifar.read, batches=cifar.CIFAR100),
    partial(tree.read_folder, classes=cifar.CLASSES100),
)
CINIC10_READERS: tuple[Reader, ...] = (
    partial(tree.read_archive, classes=cifar.CLASSES10, name=CINIC10_FILE, official=f"md5:{CINIC10_MD5}"),
    partial(tree.read_folder, classes=cifar.CLASSES10),
)


def _prepare_archive(name: str, url: str, md5: str, root: Path | None) -> Path:
    archive = fetch(url, md5, destination(name, root) / url.rsplit("/", 1)[-1])
    unpack(archive)
    return archive.parent


def _prepare_fashion_mnist(root: Path | None) -> Path:
    folder = destination("fashion-mnist", root)
    for name, md5 in FASHION_MNIST_MD5.items():
        fetch(FASHION_MNIST_URL + name, md5, folder / name)
    return folder


FASHION_MNIST = register_dataset(
    Dataset(
        name="fashion-mnist",
        classes=FASHION_CLASSES,
        available=(6000,) * 10,
        head=6000,
        shape=(1, 28, 28),
        mean=(0.2860,),  # measured on the 60,000 training images
        std=(0.3530,),
        load=lambda root, verify: load_official(FASHION_MNIST, (idx.read,), root, verify, DEBIAN_FASHION_MNIST),
        layout="{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
        terms="MIT, Copyright 2017 Zalando SE",
        description="70,000 grey 28x28 images of clothing, 10 classes (Xiao et al. 2017)",
        prepare=_prepare_fashion_mnist,
        archives={FASHION_MNIST_URL + name: md5 for name, md5 in FASHION_MNIST_MD5.items()},
        tested=(1000,) * 10,
        official=idx.OFFICIAL,
    )
)
CIFAR10 = register_dataset(
    Dataset(
        name="cifar10",
        classes=cifar.CLASSES10,
        available=(5000,) * 10,
        head=5000,
        shape=(3, 32, 32),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),  # the mean over images of each one's std, as nearly every paper uses
        load=lambda root, verify: load_official(CIFAR10, CIFAR10_READERS, root, verify),
        layout="cifar-10-batches-py/{data_batch_1..5,test_batch}, or re-encoded: {train,test}/CLASS/*.{png,jpg}",
        terms="none formal; cite Krizhevsky 2009",
        description="60,000 colour 32x32 photographs, 10 classes (Krizhevsky 2009)",
        prepare=lambda root: _prepare_archive("cifar10", CIFAR10_URL, CIFAR10_MD5, root),
        archives={CIFAR10_URL: CIFAR10_MD5},
        tested=(1000,) * 10,
        official={**cifar.CIFAR10.train, **cifar.CIFAR10.test},
    )
)
CIFAR100 = register_dataset(
    Dataset(
        name="cifar100",
        classes=cifar.CLASSES100,
        available=(500,) * 100,
        head=500,
        shape=(3, 32, 32),
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        load=lambda root, verify: load_official(CIFAR100, CIFAR100_READERS, root, verify),
        layout="cifar-100-python/{train,test}, or re-encoded: {train,test}/CLASS/*.{png,jpg}",
        terms="none formal; cite Krizhevsky 2009",
        description="60,000 colour 32x32 photographs, 100 classes (Krizhevsky 2009)",
        prepare=lambda root: _prepare_archive("cifar100", CIFAR100_URL, CIFAR100_MD5, root),
        archives={CIFAR100_URL: CIFAR100_MD5},
        tested=(100,) * 100,
        official={**cifar.CIFAR100.train, **cifar.CIFAR100.test},
        superclasses=cifar.SUPERCLASSES,
    )
)
# Its test set holds all of CIFAR-10's, and 10,000 of CIFAR-10's training images: never test on it what was trained
# there. Its validation images are not read, as in most published tails (9,000 a class).
CINIC10 = register_dataset(
    Dataset(
        name="cinic10",
        classes=cifar.CLASSES10,
        available=(9000,) * 10,
        head=9000,
        shape=(3, 32, 32),
        mean=(0.47889522, 0.47227842, 0.43047404),
        std=(0.24205776, 0.23828046, 0.25874835),
        load=lambda root, verify: load_official(CINIC10, CINIC10_READERS, root, verify),
        layout="CINIC-10.tar.gz, or unpacked or re-encoded: {train,test}/CLASS/*.{png,jpg}",
        terms="CC BY 4.0; doi 10.7488/ds/2448",
        description="90,000 + 90,000 colour 32x32 images of CIFAR-10 and ImageNet, 10 classes (Darlow et al. 2018)",
        prepare=lambda root: fetch(CINIC10_URL, CINIC10_MD5, destination("cinic10", root) / CINIC10_FILE).parent,
        archives={CINIC10_URL: CINIC10_MD5},
        tested=(9000,) * 10,
        official={CINIC10_FILE: f"md5:{CINIC10_MD5}"},
    )
)
