"""What ``tailboard data`` says of data sets of ours and of the user's own."""

import json

import numpy as np
import pytest
from PIL import Image

from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError
from tailboard.datasets.tables.covertype import RAMP
from tailboard.harness.errors import SpecError
from tailboard.harness.registry.datasets import dataset, prepare
from tailboard.harness.spec.parser import parse_data

CSV = "age,kind\n" + "".join(f"{i},{'yes' if i % 10 == 0 else 'no'}\n" for i in range(200))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of images and a table, in the folder where commands are called."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for kind, images in {"cats": 40, "dogs": 10}.items():
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(images):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{i}.png")
    (tmp_path / "t.csv").write_text(CSV)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "what", "counts"),
    [
        (["folder:photos"], "images", [32, 8]),
        (["folder:photos", "--imbalance-factor", "8"], "images", [32, 4]),
        (["csv:t.csv", "--label", "kind"], "rows", [144, 16]),
        (["adult", "--imbalance-factor", "10"], "rows", [24720, 2472]),
        (["adult", "--profile", "natural"], "rows", [24720, 7841]),
    ],
)
def test_the_profile_of_any_data_says_what_of_each_class_is_trained_on(own, tailboard, words, what, counts):
    code, out, err = tailboard("data", "profile", *words, "--json")
    assert (code, err) == (0, "") and [line[what] for line in json.loads(out)] == counts
    assert f"{sum(counts)} {what}; classes:" in tailboard("data", "profile", *words)[1]


def test_a_tail_of_another_shape_needs_its_factor_for_data_of_ones_own_too(own, tailboard):
    code, _, err = tailboard("data", "profile", "folder:photos", "--profile", "exp")
    assert code == 1 and "--imbalance-factor: missing" in err


def test_each_data_set_of_the_catalog_says_how_to_get_it(tailboard):
    where = {each["name"]: each["where"] for each in json.loads(tailboard("data", "list", "--json")[1])}
    for name, known in catalog().items():
        assert bool(known.how) == (known.prepare is None), name
        if known.how:
            with pytest.raises(DataError) as refused:
                prepare(name, None)
            assert f"To get it: {known.how}" in str(refused.value) and where[name]
    for name, says in {"covertype": "archive.ics.uci.edu", "covertype-ramp": RAMP}.items():
        code, out, err = tailboard("data", "prepare", name)
        assert (code, out) == (1, "") and says in err and "in the package" not in where[name]
    assert "in the package" in where["fashion-mnist-mini"]


def test_an_unknown_data_set_is_answered_in_whole_sentences():
    with pytest.raises(
        DataError, match=r"simulated-table\. For images of your own: .*hf:NAME\. For a table: "
    ) as refused:
        dataset("qqqq")
    assert all(f" {name}, " in str(refused.value) for name in ("adult", "eurosat", "aptos2019", "isic2020"))
    with pytest.raises(DataError, match=r"did you mean 'eurosat'\? For images"):
        dataset("eurosta")
    with pytest.raises(SpecError, match=r"unknown key 'zzzz'; known: .*[a-z]\. For images of your own"):
        parse_data({"name": "adult", "zzzz": 1})
