"""A user's own images are trained on as a known data set is: the rows of Table 5 give the same numbers whichever way
the images of CIFAR-10, re-encoded as JPEG, come in."""

import csv
import dataclasses
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tailboard.datasets import vision
from tailboard.datasets.catalog import registered
from tailboard.datasets.split import cut
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.registry.datasets import dataset_of, long_tail, pool
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.learners.image_learner import image_learner
from tailboard.harness.training.trial import scored_logits

JPEG_CIFAR10 = Path(__file__).parents[3] / "shared/data/cifar10/cifar10_jpg_tree.tar.xz"
TRAIN, TEST = 12, 3  # images of each class
NINE = [
    "ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW", "M2m", "SAM-A",
    {"name": "Joint-SSL + SAM-A", "values": {"extra.width": 8}},
    {"name": "Joint-SSL + SAM-A + M2m", "values": {"extra.width": 8}},
]  # fmt: skip
ROUTINE = {"epochs": 1, "batch_size": 12, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory):
    """The first images of each class: folders, a CSV of them, and their pixels in an .npz."""
    top = tmp_path_factory.mktemp("cifar")
    least = {"train": TRAIN, "test": TEST}
    with tarfile.open(JPEG_CIFAR10) as archive:
        for member in archive:
            if member.isfile() and int(Path(member.name).stem) < least[member.name.split("/")[0]]:
                archive.extract(member, top / "cifar10", filter="data")
    files = sorted((top / "cifar10").glob("*/*/*.jpg"))
    with (top / "labels.csv").open("w", newline="") as file:
        lines = [(path.relative_to(top), path.parent.name, path.parts[-3]) for path in files]
        csv.writer(file).writerows([("image", "label", "split"), *lines])
    arrays = {}
    for part in least:
        mine = [path for path in files if path.parts[-3] == part]
        arrays[f"{part}_images"] = np.stack([np.asarray(Image.open(path)) for path in mine])
        arrays[f"{part}_labels"] = np.array([path.parent.name for path in mine])
    np.savez(top / "arrays.npz", **arrays)
    return top


def logits(name: str, top: Path, store: Store) -> dict[str, np.ndarray]:
    """Those of the test images after a short training of each row, by the row's method."""
    raw = {"name": "x", "data": {"name": name, "imbalance_factor": 4}, "methods": NINE, "network": "small"}
    found, images = {}, None
    wanted = resolve_dependencies(plan(parse(raw | {"training": ROUTINE, "seeds": 1}, top)), {})
    for trial in wanted.trials:
        images = images or pool_of(trial, top)
        split = cut(images, long_tail(trial.data), trial.seed)
        run = image_learner(
            trial, split.train, split.counts, recipe_of(trial, {}), torch.device("cpu"), Store(str(store))
        )
        assert len(list(run.epochs())) == 1
        store.write_weights(trial.key, run.averaged_weights())
        found[f"{trial.method.name}{trial.independent}"] = scored_logits(run, torch.from_numpy(np.array(split.test.x)))
    return {name: arrays["last_ema"] for name, arrays in found.items()}


def pool_of(trial, top: Path):
    if trial.data.contents:
        return dataset_of(trial.data).load(top, True)
    return pool(trial.data.name, top, False)


@pytest.mark.slow
@pytest.mark.skipif(not JPEG_CIFAR10.is_file(), reason=f"needs {JPEG_CIFAR10}")
def test_the_nine_rows_are_the_same_through_folders_a_csv_and_arrays(jpegs, tmp_path, monkeypatch, cache_of_its_own):
    own = parse({"name": "x", "data": "folder:cifar10", "methods": "ERM", "seeds": 1}, jpegs).data[0].contents
    known = dataclasses.replace(
        vision.CIFAR10, available=(TRAIN,) * 10, tested=(TEST,) * 10, head=TRAIN, mean=own.mean, std=own.std
    )
    assert known.classes == own.classes  # in the order of their names, since all are as large
    monkeypatch.setitem(registered, "cifar10", known)
    monkeypatch.setattr(vision, "CIFAR10", known)
    expected = logits("cifar10", jpegs, Store(tmp_path / "known"))
    assert len(expected) == 10  # M2m's judge too
    keys = [
        plan(parse({"name": "x", "data": name, "methods": "ERM", "seeds": 1}, jpegs))[0].key
        for name in ("folder:cifar10", "csv:labels.csv")
    ]
    assert keys[0] == keys[1]  # the same files are the same trials
    for name in ("csv:labels.csv", "npz:arrays.npz"):
        got = logits(name, jpegs, Store(tmp_path / name.replace(":", "-")))
        assert got.keys() == expected.keys()
        assert [method for method in expected if not np.array_equal(got[method], expected[method])] == []
