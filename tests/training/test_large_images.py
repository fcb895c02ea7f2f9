"""Images that are many or large: read from the mapped file to the same numbers, decoded once, within bounds."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from PIL import Image

from tailboard.datasets import decoded_files, rows
from tailboard.datasets.array_cache import open_cached
from tailboard.datasets.catalog import DataError
from tailboard.datasets.rows import Rows, chunks
from tailboard.datasets.user_images import dataset as user_images
from tailboard.datasets.user_images.source import source_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.training import device_images
from tailboard.harness.training.device_images import MappedImages, on_device
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial


@pytest.fixture
def photos(tmp_path, monkeypatch, cache_of_its_own):
    """JPEGs in class folders, with a cache of their own and every array on disk."""
    monkeypatch.setattr(user_images, "ON_DISK_FROM", 0)
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate({"newt": 40, "cat": 20}.items()):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 100, (16, 16, 3)) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{index}.jpg")
    return tmp_path


def files(folder):
    return sorted(path.name for path in (folder / "cache" / "tailboard" / "arrays").iterdir())


def test_rows_are_those_of_the_array():
    array = np.arange(60, dtype=np.uint8).reshape(20, 1, 3)
    indices = np.array([3, 1, 19, 4])
    few = Rows(array, indices)
    assert few.shape == (4, 1, 3) and few.nbytes == 12 and len(few) == 4
    assert np.array_equal(few[np.array([2, 0])], array[[19, 3]])
    assert np.array_equal(np.asarray(few), array[indices]) and np.array_equal(Rows(array)[5:7], array[5:7])
    copied = few[:]
    copied[0] = 0
    assert array[3].any()


def test_chunks_are_all_rows_and_bounded(monkeypatch):
    monkeypatch.setattr(rows, "AT_ONCE", 6)
    array = np.arange(21).reshape(7, 3).astype(np.uint8)
    parts = list(chunks(Rows(array)))
    assert [len(part) for part in parts] == [2, 2, 2, 1] and np.array_equal(np.concatenate(parts), array)


@pytest.mark.slow
def test_large_images_are_decoded_once_into_the_file_that_is_kept(photos, monkeypatch):
    facts, _ = user_images.resolve(source_of({"name": f"folder:{photos / 'photos'}"}, photos))
    gc.collect()
    assert [name for name in files(photos) if name.startswith(decoded_files.DECODING)] == []
    monkeypatch.setattr(user_images, "_pixels", lambda *_: pytest.fail("decoded again"))
    pool = open_cached(user_images.dataset("folder:photos", facts), None, True).pool
    assert isinstance(pool.train.x, np.memmap) and len(pool.train) == 48
    kept = decoded_files.kept()
    assert sum(kept.values()) > 60 * 3 * 16 * 16
    assert decoded_files.clear("folder:others") == {} and decoded_files.clear("folder:photos") == {**kept}
    assert decoded_files.kept() == {} and pool.train.x[0].any()  # who has it open keeps it


def test_a_disk_that_is_too_small_is_said_before_anything_is_decoded(photos, monkeypatch):
    monkeypatch.setattr(decoded_files, "LEAST_FREE", 2**60)
    with pytest.raises(DataError, match=r"48 decoded images of 3x16x16 take 0\.0 GiB.*tailboard data clear"):
        user_images.resolve(source_of({"name": f"folder:{photos / 'photos'}"}, photos))
    assert files(photos) == [name for name in files(photos) if name.endswith(".lock")]


@pytest.mark.parametrize("method", ["ERM", "M2m", pytest.param("Joint-SSL + SAM-A", marks=pytest.mark.slow)])
def test_images_in_the_file_train_to_the_bits_of_images_in_memory(photos, method, monkeypatch):
    training = {"epochs": 2, "batch_size": 8, "warmup_epochs": 0, "resized_crop": 0.5}
    words = {"name": "w", "data": f"folder:{photos / 'photos'}", "methods": method, "network": "small", "seeds": 1}
    asked = plan(parse(words | {"training": training}))[0]
    logits = []
    for most in (2**30, 0):
        monkeypatch.setattr(device_images, "MOST_IN_MEMORY", most)
        kinds = []
        monkeypatch.setattr("tailboard.harness.training.learners.image_learner.on_device", _noted(kinds))
        context = TrialContext(str(photos / f"store-{most}"))
        if method == "M2m":
            from tailboard.harness.planning.dependencies import resolve_dependencies

            for needed in resolve_dependencies([asked], {}).trials[:-1]:
                run_trial(Job.of(needed, keep_weights=True), context)
        record = run_trial(Job.of(asked), context)
        assert record.status == "complete", record.reason
        assert set(kinds) == {torch.Tensor if most else MappedImages}
        with np.load(photos / f"store-{most}" / "arrays" / f"{asked.key}.npz") as arrays:
            logits.append(arrays["last"])
    assert np.array_equal(*logits) and np.ptp(logits[0]) > 0


def _noted(kinds):
    def noting(x, device, fused):
        made = on_device(x, device, fused)
        kinds.append(type(made))
        return made

    return noting


def test_seeds_that_are_trained_as_one_share_what_a_trial_may_copy(monkeypatch):
    monkeypatch.setattr(device_images, "MOST_IN_MEMORY", 40)
    x = Rows(np.zeros((20, 1), np.uint8))
    assert [isinstance(on_device(x, torch.device("cpu"), seeds), MappedImages) for seeds in (1, 2, 3)] == [0, 0, 1]


def test_batches_come_as_announced_or_otherwise():
    array = np.arange(40, dtype=np.uint8).reshape(20, 2)
    images = MappedImages(Rows(array), torch.device("cpu"))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    batches = order.split(6)
    images.announce(batches[:3], order[:18])
    expected = torch.from_numpy(array)
    assert images[batches[0]].equal(expected[batches[0]])
    assert images[torch.tensor([4, 2])].equal(expected[[4, 2]])
    assert images[batches[1]].equal(expected[batches[1]]) and images[batches[2]].equal(expected[batches[2]])
    images.announce(batches, order)  # the next epoch, whatever was left of the last
    assert images[batches[0]].equal(expected[batches[0]])
