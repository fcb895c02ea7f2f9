"""Tables of a user's own: what is read of them, which rows are tested on, and one line for each that cannot be used."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError
from tailboard.datasets.user_tables import cells
from tailboard.datasets.user_tables.locate import located
from tailboard.datasets.user_tables.parquet_file import ParquetFile
from tailboard.datasets.user_tables.source import is_user_table, source_of
from tailboard.datasets.user_tables.table import table
from tailboard.harness.registry.datasets import dataset_of, long_tail
from tailboard.harness.spec.parser import parse_data
from tailboard.harness.spec.schema import Data

HEAD = "age,city,since,income\n"
ROWS = "".join(
    f"{20 + i},{'Rome' if i % 3 else 'Oslo'},2024-01-{1 + i % 28:02d},{'high' if i < 10 else 'low'}\n"
    for i in range(60)
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text, **words):
    """The table of a CSV with this text."""
    Path("t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return words | {"name": "csv:t.csv"}


def taken(text, **words):
    return table(source_of(read(text, **words), Path()))


def test_a_csv_becomes_numbers_categories_and_dates(here):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["n", "text", "day", "at", "y", "w"])
    for i in range(20):
        text_of = ['say "no"\nor, not', "Å b", "", "plain"][i % 4]
        at = ["1970-01-02T12:00:00+01:00", "1970-01-01T06:00"][i % 2]
        writer.writerow([i if i else "NA", text_of, "1970-01-11", at, "ab"[i % 5 == 0], 1 + i % 2])
    found = taken("\ufeff" + text.getvalue(), label="y", weight="w")
    assert [tuple(column) for column in found.columns] == [
        ("n", "number"), ("text", "category"), ("day", "date"), ("at", "date"), ("w", "weight"),
    ]  # fmt: skip
    assert found.categories[1] == ("plain", 'say "no"\nor, not', "Å b") and found.classes == ("a", "b")
    assert np.isnan(found.x[0, 0]) and found.x[1:, 0].tolist() == list(range(1, 20))
    assert np.isnan(found.x[2, 1]) and found.x[0, 1] == 1 and set(found.x[:, 2]) == {10.0}
    assert found.x[:2, 3].tolist() == [1 + 11 / 24, 0.25] and found.x[:2, 4].tolist() == [1, 2]
    assert found.y.tolist() == [int(i % 5 == 0) for i in range(20)]


def test_a_parquet_holds_the_same_table(here):
    found = taken(HEAD + ROWS, label="income")
    frame = pd.read_csv("t.csv", parse_dates=["since"])
    frame["city"] = frame["city"].astype("category")
    frame.to_parquet("t.parquet")
    same = table(source_of({"name": "parquet:t.parquet", "label": "income"}, here))
    assert same.contents == found.contents and same.columns == found.columns
    frame.assign(**{"a.b": [{"x": "a" * 100}] * 60}).to_parquet("t.parquet")  # refused before it is unpacked
    with pytest.raises(DataError, match=r"t.parquet: column 'a.b' holds struct<x: string>: numbers, texts and dates"):
        ParquetFile(here / "t.parquet")
    frame.assign(tags=[["a"]] * 60).to_parquet("t.parquet")
    with pytest.raises(DataError, match="column 'tags' holds list"):
        table(source_of({"name": "parquet:t.parquet", "label": "income"}, here))
    frame.assign(w=pd.Series([None] * 60, dtype="str")).to_parquet("t.parquet")
    with pytest.raises(DataError, match=r"t.parquet, row 1: the weight \(column 'w'\) is missing, and in 59 rows more"):
        table(source_of({"name": "parquet:t.parquet", "label": "income", "weight": "w"}, here))
    (here / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t.parquet cannot be read as Parquet"):
        table(source_of({"name": "parquet:t.parquet", "label": "income"}, here))


def test_the_row_numbers_of_a_frame_are_not_learnt_from_and_its_named_index_is_told(here):
    taken(HEAD + ROWS, label="income")
    frame = pd.read_csv("t.csv").sample(frac=1, random_state=1)
    sources = {}
    for name, index in {
        "none": None,
        "rows": frame.index,
        "pid": pd.Index([f"p{i}" for i in frame.index], name="pid"),
    }.items():
        frame.set_index(index if name == "pid" else frame.index).to_parquet(f"{name}.parquet", index=index is not None)
        sources[name] = source_of({"name": f"parquet:{name}.parquet", "label": "income"}, here)
    read = {name: table(source) for name, source in sources.items()}
    assert read["rows"].contents == read["none"].contents and len(read["none"].notes) == 3
    assert "column '__index_level_0__' is the index without a name of a pandas frame" in read["rows"].notes[2]
    assert "column 'pid' is the index of a pandas frame and is learnt from" in read["pid"].notes[2]
    former = table(sources["rows"], unnamed_indexes=True)
    roles = {"label": "income", "group": None, "split": None, "weight": None}
    again = located("parquet:rows.parquet", (former.contents, former.groups_hash), roles, here)
    assert again.contents == former.contents != read["rows"].contents, "trials of an earlier version find it"
    grouped = source_of({"name": "parquet:rows.parquet", "label": "income", "group": "__index_level_0__"}, here)
    assert len(np.unique(table(grouped).group)) == 60, "a role may be asked of it"
    found = taken(
        "Unnamed: 0," + HEAD + "".join(f"{n},{row}\n" for n, row in enumerate(ROWS.splitlines())), label="income"
    )
    assert "'Unnamed: 0' is learnt from: remove it if it only numbers the rows" in found.notes[2]


ODD = {
    "#N/A": "column 'x' is read as categories: t.csv, line 5 holds '#N/A'; if numbers are meant, leave it empty "
    "where there is no value",
    "None": "line 5 holds 'None'; if numbers are meant, leave it empty",
    "1,5": "line 5 holds '1,5'; write a number with a point alone, as in 1234.5",
    "1,234": "line 5 holds '1,234'; write a number with a point",
    "5%": "line 5 holds '5%'; write a number with a point",
}


def test_a_category_that_no_row_has_makes_no_column_doubtful(here):
    taken(HEAD + ROWS, label="income")
    frame = pd.read_csv("t.csv")
    words = [*map(str, range(20)), "unknown"]
    frame["step"] = pd.Categorical([words[place % 20] for place in range(len(frame))], categories=words)
    frame.to_parquet("t.parquet", index=False)
    assert len(table(source_of({"name": "parquet:t.parquet", "label": "income"}, here)).notes) == 3


@pytest.mark.parametrize("odd", ODD)
def test_a_column_of_numbers_but_for_one_text_is_told(here, odd):
    def csv_of(odd, rows=40):
        return "x;y\n" + "".join(f"{odd if i == 3 else i + 0.5};{'ab'[i % 2]}\n" for i in range(rows))

    found = taken(csv_of(odd), label="y")
    assert found.columns[0].kind == "category" and ODD[odd] in found.notes[2]
    with pytest.raises(
        DataError, match=r"at most 1,000 categories can be had: nearly all are numbers, but t.csv, line 5"
    ):
        taken(csv_of(odd, 1200), label="y")
    assert len(taken(csv_of(odd, 8), label="y").notes) == (4 if "," in odd or "%" in odd else 3), "a few are categories"
    assert len(taken(csv_of(3.5), label="y").notes) == 3


@pytest.mark.parametrize(
    ("form", "odd", "said"),
    [
        ("{d:02}.03.{y}", None, "line 2 holds '01.03.2000'; write a date as 2026-03-01"),
        ("3/{d}/{y} 10:00 PM", None, "line 2 holds '3/1/2000 10:00 PM'; write a date"),
        ("{y}-03-{d:02}", "31.03.2024", "line 5 holds '31.03.2024'; write a date"),
        ("{y}-03-{d:02}", "2024-02-30", "line 5 holds '2024-02-30'; if dates are meant, leave it empty"),
        ("{y}-03-{d:02}", "n/a", "line 5 holds 'n/a'; if dates are meant, leave it empty where there is none"),
    ],
)
def test_a_column_of_dates_written_otherwise_is_told(here, form, odd, said):
    def csv_of(rows):
        days = [form.format(d=1 + i % 28, y=2000 + i // 28) for i in range(rows)]
        return "x,y\n" + "".join(f"{odd if odd and i == 3 else day},{'ab'[i % 2]}\n" for i, day in enumerate(days))

    assert said in taken(csv_of(40), label="y").notes[2]
    with pytest.raises(DataError, match=r"categories can be had: nearly all are dates, but t\.csv, line"):
        taken(csv_of(1200), label="y")


def test_a_separator_inside_of_quotes_separates_nothing(here):
    rows = "".join(f'{i};"a, b";{"ab"[i % 5 == 0]}\n' for i in range(20))
    found = taken('"age, years";"sex (m, f)";label\n' + rows)
    assert [column.name for column in found.columns] == ["age, years", "sex (m, f)"] and found.classes == ("a", "b")


def test_what_is_no_date_is_a_category():
    assert cells.days(["2024-02-29", "1969-12-31T18:00-06:00"]).tolist() == [19782, 0]
    for text in ("2024-02-30", "0001-01-01T00:00+23:00x", "20240229", "29.2.2024"):
        assert cells.days(["2024-02-29", text]) is None


def test_a_fifth_of_each_class_is_tested_on_by_a_seed_that_nothing_changes(here):
    found = taken(HEAD + ROWS, label="income")
    assert found.classes == ("low", "high") and found.counts(found.test) == (10, 2)
    low = np.flatnonzero(found.y == 0)
    drawn = np.random.default_rng([0x7E57, *b"low"]).permutation(low)[:10]
    assert np.flatnonzero(found.test & (found.y == 0)).tolist() == sorted(drawn.tolist())


def test_a_split_is_kept_and_groups_stay_on_one_side(here):
    rows = [f"{i},{'ab'[i % 5 == 0]},g{i // 2},{('train', 'Valid', 'test')[i // 2 % 3]}" for i in range(60)]
    found = taken("x,y,group,split\n" + "\n".join(rows), label="y")
    assert found.test.tolist() == [i // 2 % 3 == 2 for i in range(60)]
    assert found.groups.tolist() == [i // 2 for i in range(40)]
    assert "those for validation were added" in found.notes[-1]
    carved = taken("x,y,who\n" + "\n".join(row.rpartition(",")[0] for row in rows), label="y", group="who")
    groups = carved.group
    assert not set(groups[carved.test]) & set(groups[~carved.test]) and 8 <= carved.test.sum() <= 16
    with pytest.raises(DataError, match="group 'g0' has training and test rows; 30 groups in all"):
        mixed = [f"{i},{'ab'[i % 5 == 0]},g{i // 2},{('train', 'test')[i % 2]}" for i in range(60)]
        taken("x,y,group,split\n" + "\n".join(mixed), label="y")
    with pytest.raises(DataError, match="all rows of class 'b' are of one group"):
        taken("x,y,group\n" + "".join(f"{i},{'ab'[i > 27]},g{min(i, 28)}\n" for i in range(30)), label="y")


WRONG = {
    "no such label": (HEAD + ROWS, {"label": "incme"}, "t.csv has no column 'incme'; did you mean 'income'"),
    "no label": (HEAD + ROWS, {}, "which column is the label? Say label: one of age, city, since, income"),
    "constant": (HEAD + ROWS.replace("high", "low"), {}, "the label (column 'income') is 'low' in every row"),
    "label missing": (HEAD + ROWS + "1,Rome,2024-01-01,\n2,Rome,2024-01-01,?\n", {},
                      "t.csv, line 62: the label (column 'income') is missing, and in 1 rows more"),
    "case": (HEAD + ROWS + "1,Rome,2024-01-01,High\n", {}, "the classes 'High' and 'high' differ in case only"),
    "form": (HEAD + ROWS.replace("low", "gr\u00fcn") + "1,Rome,2024-01-01,gru\u0308n\n", {},
             "differ in Unicode form only: write them alike"),
    "numbers": ("x,y\n" + "".join(f"{i},{i % 3}{'.0' * (i > 50)}\n" for i in range(60)), {"label": "y"},
                "the classes '0' and '0.0' differ in the point only: write them alike"),
    "10,000 categories": ("id,y\n" + "".join(f"n{i},{'ab'[i % 2]}\n" for i in range(10_000)), {"label": "y"},
                          "the column 'id' has 10,000 different texts, such as 'n0'"),
    "10,000 classes": ("x,y\n" + "".join(f"{i % 7},n{i}\n" for i in range(10_000)), {"label": "y"},
                       "has 10,000 different values, and at most 1,000 classes can be had"),
    "nothing in a column": ("x,e,y\n" + "".join(f"{i},,{'ab'[i % 2]}\n" for i in range(9)), {"label": "y"},
                            "the column 'e' has no value in any row: remove it"),
    "infinity": (HEAD.replace("age", "age") + ROWS + "-inf,Rome,2024-01-01,low\n", {},
                 "t.csv, line 62: the column 'age' holds -inf"),
    "twice": ("a, a,y\n1,2,b\n", {"label": "y"}, "two columns are called 'a' (1 and 2): rename one"),
    "no name": (",a,y\n1,2,b\n", {"label": "y"}, "column 1 has no name"),
    "a value too few": ("x,y\n1,a\n2\n", {"label": "y"}, "t.csv, line 3: 1 values, and there are 2 columns"),
    "a quote open": ('x,y\n"1,a\n2,b\n', {"label": "y"}, "unexpected end of data"),
    "UTF-16": ((HEAD + ROWS).encode("utf-16"), {}, "t.csv is UTF-16 or no text: save it as CSV in UTF-8"),
    "UTF-16, no mark": ((HEAD + ROWS).encode("utf-16-le"), {}, "t.csv is UTF-16 or no text"),
    "latin-1": (HEAD.encode() + ROWS.encode() + "1,Zürich,,low\n".encode("latin-1"), {}, "t.csv is not UTF-8"),
    "packed": (b"\x1f\x8b\x08\x00", {}, "t.csv is packed: unpack it first"),
    "a workbook": (b"PK\x03\x04rest", {}, "t.csv is packed, or a workbook (.xlsx): unpack it, or save it as CSV"),
    "empty": ("", {}, "t.csv is empty"),
    "no rows": (HEAD, {}, "t.csv has no rows"),
    "a million columns": (",".join(f"c{i}" for i in range(1_000_000)) + "\n", {}, "1,000,000 columns: at most 4,096"),
    "one column": ("y\na\nb\n", {"label": "y"}, "t.csv has one column, 'y'"),
    "only a label": ("y,w\na,1\nb,2\na,1\nb,2\n", {"label": "y", "weight": "w"}, "no column to learn from beside y"),
    "a row of a class": (HEAD + ROWS + "1,Rome,2024-01-01,top\n", {}, "class 'top' has a single row"),
    "weight": (HEAD.replace("age", "w") + ROWS.replace("20,", "-1,", 1), {"weight": "w"},
               "t.csv, line 2: the weight (column 'w') is -1: more than 0 is expected"),
    "weight of text": (HEAD + ROWS, {"weight": "city"}, "the weight (column 'city') holds texts such as 'Oslo'"),
    "two roles": (HEAD + ROWS, {"weight": "age", "group": "age"}, "the column 'age' is that of weight too"),
    "split": ("x,y,split\n1,a,train\n2,b,tset\n", {"label": "y"}, "t.csv, line 3: unknown split 'tset'"),
    "no training": ("x,y,split\n1,a,test\n2,b,test\n", {"label": "y"}, "rows for testing, and none for training"),
    "no test of a class": ("x,y,split\n1,a,test\n2,b,train\n3,a,train\n", {"label": "y"},
                           "class 'b' has training rows and no test"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_table_gets_one_clear_line(here, wrong):
    text, words, said = WRONG[wrong]
    words = words if wrong in ("no label",) else {"label": "income"} | words
    with pytest.raises(DataError) as raised:
        taken(text, **words)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_wrong_table_ends_a_command_with_one_line(tailboard):
    assert is_user_table(read(HEAD + ROWS.replace("high", "low")), Path())
    code, out, err = tailboard("run", "--data", "csv:t.csv", "--label", "income")
    assert (code, out) == (1, "") and len(err.splitlines()) == 1 and "'low' in every row" in err


def test_memory_is_bounded_before_it_is_taken(here, monkeypatch):
    monkeypatch.setattr(cells, "MOST_CELLS", 4 * 4096)
    with pytest.raises(DataError, match="rows or more of 4 columns: at most 16,384 values"):
        taken(HEAD + ROWS * 200, label="income")
    monkeypatch.setattr("tailboard.datasets.user_tables.text_file.MOST_BYTES", 100)
    with pytest.raises(DataError, match="more than 100 bytes"):
        taken(HEAD + ROWS, label="income")


def test_the_key_holds_the_contents_and_neither_path_nor_name(here):
    first = parse_data(read(HEAD + ROWS, label="income"))
    (here / "u.csv").write_text((HEAD + ROWS).replace(",", ";"))
    second = parse_data({"name": "csv:u.csv", "label": "income"})
    assert first.canonical == second.canonical and first.name != second.name
    assert first.profile == "natural" and first.imbalance_factor == 40 / 8
    assert Data.model_validate(json.loads(first.model_dump_json())) == first
    other = parse_data(read(HEAD + ROWS.replace("Oslo", "Bonn"), label="income"))
    assert other.canonical != first.canonical, "a category is another"
    assert parse_data({"name": "csv:u.csv", "label": "income"}) == second, "it was seen, and is not read again"


def test_a_tail_is_cut_by_ratio_by_profile_or_in_the_shares_that_the_table_has(here):
    words = read(HEAD + ROWS, label="income")
    cuts = {
        (40, 8): {}, (40, 4): {"train_ratio": 0.1}, (33, 7): {"profile": "natural", "total": 40},
        (20, 2): {"imbalance_factor": 10, "head": 20}, (1, 1): {"profile": "natural", "total": 2},
    }  # fmt: skip
    assert {counts: long_tail(parse_data(words | given)) for counts, given in cuts.items()} == {c: c for c in cuts}
    with pytest.raises(DataError, match="a total from 2 to 48 can be had, not 49"):
        long_tail(parse_data(words | {"profile": "natural", "total": 49}))
    with pytest.raises(DataError, match="class 'high' has 8 training images, and a tail of factor 2"):
        long_tail(parse_data(words | {"imbalance_factor": 2}))


def test_a_table_is_found_again_by_its_contents(here, monkeypatch):
    data = parse_data(read(HEAD + ROWS, label="income"))
    pool = dataset_of(data).load(None, True)
    assert [len(pool.train), len(pool.test)] == [48, 12] and pool.verified
    (here / "data").mkdir()
    (here / "t.csv").rename(here / "data" / "moved.csv")
    with pytest.raises(DataError, match=r"No such file.*Name its folder with --root"):
        dataset_of(data).load(None, True)
    assert np.array_equal(dataset_of(data).load(here / "data", True).train.x, pool.train.x)


def test_images_and_tables_are_told_apart_by_their_columns(here):
    (here / "i.csv").write_text("file,label\na.png,x\n")
    (here / "t.csv").write_text("file_size,label\n1,x\n")
    assert [is_user_table({"name": f"csv:{name}.csv"}, here) for name in "it"] == [False, True]
    assert not is_user_table({"name": "csv:t.csv", "image": "file_size"}, here)
    assert is_user_table({"name": "openml:31"}, here) and not is_user_table({"name": "adult"}, here)
    assert "adult" in catalog()
