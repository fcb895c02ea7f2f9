"""Collections of tables, on small copies of the layouts in which their libraries keep them."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import imblearn.datasets
import numpy as np
import pytest
import sklearn.datasets
from sklearn.datasets import _openml

from tailboard.datasets.catalog import DataError
from tailboard.datasets.user_tables.collections_of_tables import IMBLEARN
from tailboard.datasets.user_tables.source import source_of
from tailboard.datasets.user_tables.table import table
from tailboard.harness.registry.datasets import dataset_of, prepare
from tailboard.harness.spec.parser import parse_data

CITIES = ("Rome", "'New York'", "?")
ROWS = [
    f"{i},{'?' if i == 3 else i / 7},{CITIES[i % 3]},2024-01-{1 + i % 9:02d},{'bad' if i % 4 else 'good'}"
    for i in range(40)
]
ARFF = """% A set of OpenML
@RELATION people

@attribute id integer
@ATTRIBUTE 'hours a week' real
@attribute city {Rome, 'New York', "O'Fallon"}
@attribute since string
@attribute class {good,bad}
@DATA
% rows
""" + "\n".join(ROWS)
NO = {"is_target": "false", "is_row_identifier": "false", "is_ignore": "false", "number_of_missing_values": "0"}
FEATURES = [
    NO | {"index": str(place), "name": name, "data_type": kind} | more
    for place, (name, kind, more) in enumerate(
        [
            ("id", "numeric", {"is_row_identifier": "true"}),
            ("hours a week", "numeric", {"number_of_missing_values": "1"}),
            ("city", "nominal", {"nominal_value": ["Rome", "New York", "O'Fallon"], "number_of_missing_values": "13"}),
            ("since", "string", {}),
            ("class", "nominal", {"nominal_value": ["good", "bad"], "is_target": "true"}),
        ]
    )
]


class Answer(io.BytesIO):
    """What a server sends."""

    def info(self):
        return {}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The addresses that were asked for; OpenML's set 31 is what they answer with."""
    asked = []
    about = {
        "id": "31", "name": "people", "version": "1", "format": "ARFF", "status": "active", "file_id": "7",
        "description": "",
        "url": "https://api.openml.org/data/v1/download/7/people.arff", "default_target_attribute": "class",
        "md5_checksum": hashlib.md5(ARFF.encode(), usedforsecurity=False).hexdigest(),
    }  # fmt: skip
    answers = {
        "/api/v1/json/data/31": json.dumps({"data_set_description": about}),
        "/api/v1/json/data/features/31": json.dumps({"data_features": {"feature": FEATURES}}),
        "/api/v1/json/data/qualities/31": json.dumps({"data_qualities": {"quality": []}}),
        "/data/v1/download/7/people.arff": ARFF,
    }

    def urlopen(request, *_, **__):
        path = request.full_url.partition(".org")[2]
        asked.append(path)
        return Answer(answers[path].encode())

    monkeypatch.setattr(_openml, "urlopen", urlopen)
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_set_of_openml_is_fetched_by_prepare_and_read_from_scikit_learns_cache(served, tmp_path):
    with pytest.raises(DataError, match=r"To get it: tailboard data prepare openml:31 --root"):
        parse_data({"name": "openml:31"}, root=tmp_path / "data")
    prepare("openml:31", tmp_path / "data")
    fetched = len(served)
    assert fetched
    data = parse_data({"name": "openml:31"}, root=tmp_path / "data")
    pool = dataset_of(data).load(tmp_path / "data", True)
    assert len(served) == fetched, "only prepare asks the network"
    assert (data.name, data.contents.classes, data.contents.label) == ("openml:31", ("bad", "good"), "class")
    assert [(column.name, column.kind) for column in data.contents.columns] == [
        ("hours a week", "number"), ("city", "category"), ("since", "date"),
    ]  # fmt: skip
    read = table(source_of({"name": "openml:31"}, Path(), tmp_path / "data"))
    frame = sklearn.datasets.fetch_openml(data_id=31, data_home=tmp_path / "data", as_frame=True, parser="liac-arff")
    assert np.array_equal(read.x[:, 0], frame.data["hours a week"].to_numpy(), equal_nan=True)
    city = [None if np.isnan(code) else read.categories[1][int(code)] for code in read.x[:, 1]]
    assert city == [value if isinstance(value, str) else None for value in frame.data["city"].astype(object)]
    assert [read.classes[label] for label in read.y] == list(frame.target)
    assert sorted(pool.test.x[:, 2]) == sorted(read.x[read.test, 2]) and len(pool.train) == 32


def test_a_set_of_openml_that_is_damaged_or_sparse_is_refused(served, tmp_path):
    prepare("openml:31", tmp_path)
    cache = tmp_path / "openml" / "openml.org"
    rows, about = cache / "data/v1/download/7/people.arff.gz", cache / "api/v1/json/data/31.gz"
    whole = about.read_bytes()
    about.write_bytes(gzip.compress(gzip.decompress(whole).replace(b'"ARFF"', b'"Sparse_ARFF"')))
    with pytest.raises(DataError, match="openml:31 is sparse"):
        parse_data({"name": "openml:31"}, root=tmp_path)
    about.write_bytes(gzip.compress(gzip.decompress(whole).replace(b"/data/v1", b"/../../v1")))
    with pytest.raises(DataError, match="is not in the cache"):
        parse_data({"name": "openml:31"}, root=tmp_path)
    about.write_bytes(whole)
    rows.write_bytes(gzip.compress(ARFF.replace("2024", "2023").encode()))
    with pytest.raises(DataError, match="its md5 is"):
        parse_data({"name": "openml:31"}, root=tmp_path)
    rows.write_bytes(rows.read_bytes()[:60])
    with pytest.raises(DataError, match="damaged or cut short"):
        parse_data({"name": "openml:31"}, root=tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openml:credit", "the number of a data set is expected, as in openml:31"),
        ("openml:" + "9" * 5000, "the number of a data set is expected"),
        ("openml:", "is followed by a name, as in openml:31"),
        ("imblearn:ecolli", "did you mean 'ecoli'"),
    ],
)
def test_a_wrong_name_of_a_collection_is_refused(name, said, tmp_path):
    with pytest.raises(DataError, match=said):
        parse_data({"name": name}, root=tmp_path)


def test_imbalanced_learns_collection_is_read_from_its_layout(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 7)), np.where(np.arange(40) % 8, -1, 1)
    archive = tmp_path / "benchmark-imbalanced-learn.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for number in range(1, 28):
            held = io.BytesIO()
            np.savez(held, data=x + number, label=y)
            about = tarfile.TarInfo(f"x{number}data.npz")
            about.size = len(held.getvalue())
            tar.addfile(about, io.BytesIO(held.getvalue()))
    monkeypatch.setattr("imblearn.datasets._zenodo.urlopen", lambda url: archive.open("rb"))
    prepare("imblearn:ecoli", tmp_path / "data")
    official = imblearn.datasets.fetch_datasets(data_home=str(tmp_path / "data"), download_if_missing=False)
    assert tuple(official) == IMBLEARN
    for name in ("ecoli", "abalone_19"):
        data = parse_data({"name": f"imblearn:{name}"}, root=tmp_path / "data")
        read = table(source_of({"name": f"imblearn:{name}"}, Path(), tmp_path / "data"))
        assert np.array_equal(read.x, official[name].data) and data.contents.classes == ("-1", "1")
        assert [int(read.classes[label]) for label in read.y] == official[name].target.tolist()
        assert (data.contents.available, data.contents.tested) == ((28, 4), (7, 1))
    (tmp_path / "data" / "zenodo" / "x1data.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cannot be read as an \.npz file of arrays"):
        parse_data({"name": "imblearn:ecoli"}, root=tmp_path / "data")
