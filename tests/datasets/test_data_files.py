"""Where files are looked for, what is kept decoded, and fetching them, from this machine only."""

import functools
import http.server
import io
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from small_datasets import (
    FASHION,
    TRAIN,
    by_class,
    png,
    random_images,
    same,
    small,
    write_cifar10,
    write_idx,
    write_tar,
    write_tree,
)
from tailboard.datasets import fetching, lock, vision
from tailboard.datasets import files as sources
from tailboard.datasets.array_cache import is_decoded, open_cached
from tailboard.datasets.catalog import DataError
from tailboard.datasets.fetching import fetch
from tailboard.datasets.readers import cifar, eurosat, tree
from tailboard.datasets.user_images import image_sets
from tailboard.harness.registry.datasets import prepare, verified
from tailboard.harness.spec.schema import Data
from tailboard.harness.training import scoring_server

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
    assert [str(place.relative_to(tmp_path)) for place in sources.folders_for("x", tmp_path / "root")] == [
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


def test_whether_a_data_set_was_decoded_is_known_without_its_labels(tmp_path, monkeypatch):
    root, dataset = write_tree(tmp_path / "data"), small(monkeypatch, "CIFAR10")
    assert not is_decoded(dataset, root, False)
    folder = open_cached(dataset, root, False).folder
    monkeypatch.setattr(lock, "_labels_read", False)
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", lambda *_, **__: pytest.fail("an array was opened"))
        assert is_decoded(dataset, root, False)
        assert not is_decoded(dataset, root, True), "its checksums are not official ones"
    assert not lock.has_read_labels()
    (folder / "test_labels.npy").rename(folder / "gone.npy")
    assert not is_decoded(dataset, root, False)
    (folder / "gone.npy").rename(folder / "test_labels.npy")
    assert is_decoded(dataset, root, False)
    (root / "train/cat/0003.png").write_bytes(png(np.zeros((3, 32, 32), np.uint8)))
    assert not is_decoded(dataset, root, False)


def test_what_is_decoded_anew_to_the_same_bits_stays_where_others_have_it_mapped(tmp_path, monkeypatch):
    """As where an unrelated file came into a folder that is searched."""
    root, times = write_tree(tmp_path / "data"), []
    dataset, decode = small(monkeypatch, "CIFAR10"), tree._decode
    monkeypatch.setattr(tree, "_decode", lambda *arguments: times.append(1) or decode(*arguments))
    first = open_cached(dataset, root, False)
    (root / "unrelated.txt").write_text("x")
    again = open_cached(dataset, root, False)
    assert len(times) == 2 and again.stamps == first.stamps and open_cached(dataset, root, False) and len(times) == 2


def test_a_process_that_scores_reads_anew_what_was_replaced(tmp_path, monkeypatch):
    root, dataset = write_tree(tmp_path / "data"), small(monkeypatch, "CIFAR10")
    monkeypatch.setattr(scoring_server, "dataset", lambda *_: dataset)
    asked = Data(name="cifar10"), str(root), False
    first = scoring_server._cached(*asked)
    assert scoring_server._cached(*asked) is first
    (root / "train/cat/0003.png").write_bytes(png(np.zeros((3, 32, 32), np.uint8)))
    open_cached(dataset, root, False)  # by another process
    again = scoring_server._cached(*asked)
    assert again.stamps != first.stamps and not same(again.pool.train, first.pool.train)
    scoring_server._opened.cache_clear()


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
    with pytest.raises(
        DataError, match=r"could not be fetched.*md5 \w{32}\. .*CINIC-10.* .md5 6ee4d0c996905fe93221de577967a372"
    ):
        vision.CINIC10.prepare(tmp_path / "root")
    monkeypatch.setattr(vision, "CIFAR100_URL", served[1] + "absent.tar.gz")
    with pytest.raises(DataError, match=r"could not be fetched: .*404"):
        vision.CIFAR100.prepare(tmp_path / "root")


def test_prepare_writes_nothing_outside_its_folder(tmp_path, monkeypatch, served):
    offer_cifar10(served, monkeypatch, write_tar(served[0] / "evil.tar.gz", [("../../escaped", b"")]))
    with pytest.raises(DataError, match="outside the destination"):
        vision.CIFAR10.prepare(tmp_path / "root")
    assert not (tmp_path / "escaped").exists()


class _Breaking(http.server.BaseHTTPRequestHandler):
    """Sends the asked part of ``whole``, but no more than ``most`` bytes of it at a time."""

    whole, most, asked = b"", 0, []

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.asked.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.whole) - start))
        self.end_headers()
        self.wfile.write(self.whole[start : start + self.most])

    def log_message(self, *_):
        pass


def test_a_download_that_was_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _Breaking.whole, _Breaking.most, _Breaking.asked = bytes(range(256)) * 40, 5000, []
    md5, file = sources.checksum_bytes(_Breaking.whole, "md5").removeprefix("md5:"), tmp_path / "data" / "x.bin"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Breaking) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.bin"
        for kept in ("5,000", "10,000"):
            with pytest.raises(DataError, match=f"ended after {kept} of 10,240 bytes.*{kept} bytes are kept: the same"):
                fetch(url, md5, file)
            assert not file.exists()
        assert fetch(url, md5, file).read_bytes() == _Breaking.whole and _Breaking.asked == [0, 5000, 10000]
        assert [path.name for path in file.parent.iterdir()] == ["x.bin"]
        file.with_name("x.bin.part").write_bytes(b"another file")
        file.unlink()
        _Breaking.most = len(_Breaking.whole)
        with pytest.raises(DataError, match="has the md5"):
            fetch(url, md5, file)
        assert fetch(url, md5, file).is_file()  # from the start, since what was there is gone
        server.shutdown()


def test_eurosat_is_fetched_unpacked_verified_and_nothing_lands_outside(tmp_path, monkeypatch, served):
    def offer(name, members):
        with zipfile.ZipFile(served[0] / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in members.items():
                file.writestr(member, data)
        monkeypatch.setattr(image_sets, "EUROSAT_URL", served[1] + name)
        monkeypatch.setattr(image_sets, "EUROSAT_MD5", sources.checksum(served[0] / name, "md5").removeprefix("md5:"))

    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture, "JPEG")
    names = [f"2750/{name}/{name}_{n}.jpg" for name in eurosat.CLASSES for n in range(5)]
    offer("EuroSAT.zip", dict.fromkeys(names, picture.getvalue()))
    assert prepare("eurosat", tmp_path / "root") == tmp_path / "root/eurosat"
    hashes, official = verified("eurosat", tmp_path / "root")
    assert official and hashes == {"EuroSAT.zip": f"md5:{image_sets.EUROSAT_MD5}"}
    (tmp_path / "root/eurosat" / names[7]).write_bytes(b"")
    assert not verified("eurosat", tmp_path / "root")[1]
    offer("evil.zip", {"../../escaped": b"", "2750/x": b""})
    with pytest.raises(DataError, match=r"'\.\./\.\./escaped' would be unpacked outside"):
        prepare("eurosat", tmp_path / "other")
    assert not (tmp_path / "escaped").exists() and not (tmp_path / "other/eurosat/2750").exists()
    monkeypatch.setattr(fetching, "MOST_BYTES", 2**20)
    offer("bomb.zip", {"2750/zeros": bytes(2**21)})
    with pytest.raises(DataError, match=r"holds 0\.0 GiB, and .* has room"):
        prepare("eurosat", tmp_path / "third")
    with pytest.raises(DataError, match="To get it: kaggle competitions download"):
        prepare("aptos2019", tmp_path / "root")


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
