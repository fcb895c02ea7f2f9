"""A bundle of somebody's own images holds none: they are found by their contents, or what is lacking is said."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from forged_bundles import trained
from tailboard.harness.registry import datasets
from tailboard.harness.spec.parser import parse
from tailboard.harness.training.scoring_process import scoring_process


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8))


@pytest.fixture
def moved(tmp_path, cache_of_its_own, tailboard, monkeypatch):
    """The bundle b.zip of trials on photos, which lie on another machine's disk under another name: ``disk/there``."""
    for number, (name, count) in enumerate({"cat": 12, "dog": 5}.items()):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(count):
            picture(100 * number + index).save(tmp_path / "photos" / name / f"{index}.png")
    raw = {"name": "own", "data": "folder:photos", "methods": "ERM", "network": "small", "seeds": 1}
    made = trained(tmp_path / "s", parse(raw | {"training": {"epochs": 1, "batch_size": 8}}, tmp_path))
    assert tailboard("export", made, "-o", "b.zip")[0] == 0
    (tmp_path / "disk").mkdir()
    (tmp_path / "photos").rename(tmp_path / "disk/there")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    scoring_process().close()
    datasets._cached.cache_clear()
    monkeypatch.setattr("tailboard.harness.bundles.rerun.ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    return tmp_path / "disk"


@pytest.mark.slow
def test_a_folder_is_found_by_its_contents_below_the_root_or_what_is_lacking_is_said(moved, tailboard):
    again = ["verify", "b.zip", "--rerun", 1, "--seed", 0]
    code, out, err = tailboard(*again)
    assert "every number holds" in out and "folder:photos is not on this machine" in err
    assert code == 1 and re.search(r"error: the images of folder:photos \(contents \w{12}\) are not at hand: ", err)
    assert "Name the folder that they are in with --root" in err
    code, out, err = tailboard(*again, "--root", moved)
    assert code == 0 and re.search(r"same: ERM, folder:photos, .*the same kind of machine: the same bits", out)
    assert "is not on this machine" not in err
    picture(999).save(moved / "there/cat/0.png")
    datasets._cached.cache_clear()
    scoring_process().close()
    code, _, err = tailboard(*again, "--root", moved)
    assert code == 1 and f"; nothing in {moved} has these contents. Name the folder" in err
