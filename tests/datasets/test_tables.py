"""Tables: the official layouts, their split, their long tails, and the encoding that is fitted on training rows."""

import dataclasses
import gzip
from pathlib import Path

import joblib
import numpy as np
import pytest

from tailboard.datasets import files
from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError
from tailboard.datasets.longtail import shared
from tailboard.datasets.tables import adult, covertype
from tailboard.datasets.tables.columns import Column
from tailboard.datasets.tables.encoder import MOST_CATEGORIES, Encoder
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.spec.parser import parse_data

LINE = "39, State-gov, 77516, Bachelors, 13, Never-married, ?, Not-in-family, White, Male, 2174, 0, 40, Cuba, "


def write_adult(folder: Path) -> Path:
    folder.mkdir()
    (folder / "adult.data").write_text(f"{LINE}<=50K\n{LINE.replace('39', '50')}>50K\n\n")
    (folder / "adult.test").write_text(f"|1x3 Cross validator\n{LINE.replace('Cuba', '?')}>50K.\n\n")
    return folder


def test_adult_is_read_from_ucis_layout(tmp_path):
    pool = adult.read(write_adult(tmp_path / "adult"), False)
    assert (pool.train.y.tolist(), pool.test.y.tolist(), pool.verified) == ([0, 1], [1], False)
    ages, country = [c.name for c in adult.COLUMNS].index("age"), -1
    assert pool.train.x[:, ages].tolist() == [39, 50] and np.isnan(pool.test.x[0, country])
    with pytest.raises(DataError, match="not the official file"):
        adult.read(tmp_path / "adult", True)
    (tmp_path / "adult" / "adult.data").write_text("39, State-gov\n")
    with pytest.raises(DataError, match="line 1: 14 values and <=50K or >50K are expected"):
        adult.read(tmp_path / "adult", False)


def test_the_simulated_table_is_the_same_wherever_it_is_made():
    known = catalog()["simulated-table"]
    pool = known.load(None, True)
    assert pool.verified and pool.train.x.shape == (125_000, 50) and np.isfinite(pool.train.x).all()
    for part, counts in ((pool.train, known.available), (pool.test, known.tested)):
        assert tuple(np.bincount(part.y)) == counts
    (names,) = {*known.categories(None).values()}
    places = [place for place, column in enumerate(known.columns) if column.kind == "category"]
    assert {*np.unique(pool.train.x[:, places])} == {*range(len(names))}
    assert long_tail(parse_data({"name": "simulated-table", "profile": "natural", "total": 100_000})) == (95_000, 5_000)


def cover(each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    types = np.tile(np.arange(1, 8), each)
    return np.random.default_rng(0).random((len(types), 54)), types


def test_forest_cover_is_read_from_each_layout(tmp_path, monkeypatch):
    x, types = cover()
    table = np.column_stack([x, types])
    uci, sklearn, ramp = tmp_path / "uci", tmp_path / "sklearn", tmp_path / "ramp"
    for folder in (uci, ramp, sklearn / "covertype"):
        folder.mkdir(parents=True)
    with gzip.open(uci / "covtype.data.gz", "wt") as file:
        np.savetxt(file, table, delimiter=",")
    with gzip.open(ramp / covertype.RAMP, "wt") as file:
        np.savetxt(file, table, delimiter=",", header=",".join([c.name for c in covertype.COLUMNS] + ["Cover_Type"]),
                   comments="")  # fmt: skip
    joblib.dump(x, sklearn / "covertype" / "samples_py3", compress=9)
    joblib.dump(types.astype(np.int32), sklearn / "covertype" / "targets_py3", compress=9)
    pools = [covertype.read(uci, False), covertype.read(sklearn, False), covertype.read_part(ramp, False)]
    for pool in pools:
        assert np.bincount(pool.train.y).tolist() == [8] * 7 and np.bincount(pool.test.y).tolist() == [2] * 7
        assert np.array_equal(pool.train.x, pools[0].train.x)
    first = x[types == 2]
    assert {*map(tuple, pools[0].train.x[pools[0].train.y == 0])} < {*map(tuple, first)}, "class 0 is type 2"
    with pytest.raises(DataError, match="not the official file"):
        covertype.read(uci, True)


def test_the_pickle_of_scikit_learns_cache_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    joblib.dump(Bomb(), tmp_path / "x", compress=9)
    with pytest.raises(DataError, match="damaged"):
        covertype.joblib_array(tmp_path / "x")
    assert not (tmp_path / "ran").exists()


def test_a_copy_that_is_not_complete_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache", lambda: tmp_path / "nothing")
    write_adult(tmp_path / "adult")
    with pytest.raises(
        DataError, match="holds 1 training rows of class '<=50K' where adult has 24720: the copy is not"
    ):
        catalog()["adult"].load(tmp_path, False)
    with pytest.raises(
        DataError, match=r"adult.data and adult.test[\s\S]*tailboard data prepare covertype|put the file"
    ):
        catalog()["covertype"].load(tmp_path, False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"train_ratio": 0.01, "total": 10_000}, (9901, 99)),
        ({"train_ratio": 1, "total": 10_000}, (5000, 5000)),
        ({"profile": "natural"}, (24720, 7841)),
        ({"imbalance_factor": 10, "head": 1000}, (1000, 100)),
    ],
)
def test_long_tails_of_a_table_are_cut_as_of_images(words, expected):
    assert long_tail(parse_data({"name": "adult"} | words)) == expected


def test_a_total_is_shared_to_the_last_row_and_refused_where_it_is_not_there():
    for total in (100, 1237, 9999):
        assert sum(shared("exp", 7, total, 37.5)) == sum(shared("step", 7, total, 3)) == total
    with pytest.raises(DataError, match="the largest total that can be had is 15683"):
        long_tail(parse_data({"name": "adult", "train_ratio": 1, "total": 20_000}))
    assert long_tail(parse_data({"name": "adult", "train_ratio": 1, "total": 15_683})) == (7842, 7841)


def test_the_encoder_learns_from_the_rows_it_is_fitted_on():
    columns = (Column("n"), Column("c", "category"), Column("w", "weight"))
    train = np.array([[1.0, 0, 1], [3, 1, 1], [np.nan, 1, 4]])
    encoder = Encoder(columns).fit(train)
    assert encoder.transform(train).shape == (3, 1 + 1 + 2), "number, missing, two categories; the weight is no feature"
    unseen = encoder.transform(np.array([[2.0, 7, 1]]))[0]
    assert unseen.tolist() == [0, pytest.approx(-(0.5**0.5)), 0, 0], (
        "the median is 2, and category 7 was in no training row"
    )
    assert encoder.weights(train).tolist() == [0.5, 0.5, 2]
    assert encoder.transform(np.full((1, 3), np.nan)).tolist()[0][0] == 0
    many = np.column_stack([np.zeros(200), np.arange(200.0), np.ones(200)])
    assert Encoder(columns).fit(many).transform(many).shape[1] == 1 + MOST_CATEGORIES
    empty = np.full((3, 3), np.nan)
    assert np.isfinite(Encoder(columns).fit(empty).transform(empty)).all(), "a column without any value"


def test_a_table_that_breaks_its_contract_is_its_authors_to_see():
    from tailboard.datasets.contract import check
    from tailboard.datasets.split import Images, Pool

    x, y = np.zeros((2, 3)), np.array([0, 1])
    columns = tuple(map(Column, "abc"))
    dataset = dataclasses.replace(catalog()["adult"], available=(1, 1), tested=(), shape=(3,), columns=columns)
    check(dataset, Pool(Images(x, y), Images(x, y), True))
    for wrong in (x.astype(np.float32), x[:, :2], np.full_like(x, np.inf)):
        with pytest.raises(DataError, match="finite or missing numbers"):
            check(dataset, Pool(Images(wrong, y), Images(x, y), True))
