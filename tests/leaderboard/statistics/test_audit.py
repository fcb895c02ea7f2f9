"""`report --audit`: what is said of results that no store holds, by the rules of the leaderboard."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from typer.testing import CliRunner

from tailboard.harness.cli.app import app
from tailboard.harness.errors import ReportError
from tailboard.leaderboard import result_file
from tailboard.leaderboard.statistics.audit import MCNEMAR, audit
from tailboard.leaderboard.statistics.paired import paired
from tailboard.leaderboard.statistics.tiers import tiers
from tidy_rows import COMPLETE

MEANS = {"ERM": 60.0, "A": 70.0, "B": 70.2, "C": 50.0}


def of_seeds(seeds: int = 5, spread: float = 0.5, dataset: str = "d") -> pd.DataFrame:
    draw = np.random.default_rng(1)
    lines = [(dataset, m, str(s), mean + draw.normal(0, spread)) for m, mean in MEANS.items() for s in range(seeds)]
    results = pd.DataFrame(lines, columns=["dataset", "method", "unit", "value"])
    results.attrs["unit"] = "seed"
    return results


def tidy(results: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": "k", "dataset": results["dataset"], "setting": "", "protocol": "p", "method": results["method"],
            "seed": results["unit"].astype(int), "group": "all", "classes": 1, "value": results["value"],
            **COMPLETE,
        }
    )  # fmt: skip


def test_seeds_are_judged_as_the_leaderboard_judges_them():
    results = of_seeds(seeds=6, spread=4.0)
    ours = audit(results, versus="ERM").set_index("method").drop("ERM")
    board = paired(tidy(results), "ERM").set_index("method").loc[ours.index]
    pairs = {
        "difference": "difference",
        "difference_low": "ci95_low",
        "difference_high": "ci95_high",
        "p_holm": "p_holm",
    }
    for name, theirs in pairs.items():
        np.testing.assert_allclose(ours[name], board[theirs], rtol=1e-9)
    assert list(ours["verdict"]) == list(board["verdict"])
    (tier,) = tiers(tidy(results)).values()
    ranks = audit(results).set_index("method")["rank"]
    assert {m: 1 + sum(other < tier[m] for other in tier.values()) for m in tier} == ranks.to_dict()


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_the_unit_of_the_values_changes_no_word(unit):
    results = of_seeds()
    scaled = results.assign(value=results["value"] * unit)
    scaled.attrs = results.attrs
    pd.testing.assert_frame_equal(audit(scaled)[["verdict", "rank"]], audit(results)[["verdict", "rank"]])


def test_a_method_that_went_astray_changes_no_word_of_the_others():
    results = of_seeds()
    astray = pd.DataFrame([("d", "astray", str(seed), 1e13 + 1e9 * seed) for seed in range(5)], columns=results.columns)
    found = pd.concat([results, astray], ignore_index=True)
    found.attrs = results.attrs
    ranks = audit(found, larger_is_better=False).set_index("method")["rank"].to_dict()
    assert ranks == {"C": 1, "ERM": 2, "A": 3, "B": 3, "astray": 5}


def test_methods_that_are_not_separable_share_a_rank_and_less_may_be_better():
    results = of_seeds()
    assert audit(results).set_index("method")["rank"].to_dict() == {"A": 1, "B": 1, "ERM": 3, "C": 4}
    less = audit(results, larger_is_better=False).set_index("method")
    assert less["rank"].to_dict() == {"C": 1, "ERM": 2, "A": 3, "B": 3} and set(less["verdict"]) == {"", "worse"}


def test_a_method_that_lacks_a_value_has_no_rank_and_few_seeds_no_word():
    results = of_seeds()
    lacking = results.drop(results.index[(results["method"] == "B") & (results["unit"] == "4")])
    lacking.attrs = results.attrs
    found = audit(lacking).set_index("method")
    assert np.isnan(found.loc["B", "rank"]) and found.loc["B", "verdict"] == ""
    assert found.loc["C", "rank"] == 3
    few = audit(of_seeds(seeds=4))
    assert few["rank"].isna().all() and not few["verdict"].any()


def test_items_that_are_right_or_wrong_are_tested_exactly():
    draw = np.random.default_rng(2)
    right = {"a": draw.random(200) < 0.8, "b": draw.random(200) < 0.7}
    lines = [("d", m, str(i), float(each[i])) for m, each in right.items() for i in range(200)]
    results = pd.DataFrame(lines, columns=["dataset", "method", "unit", "value"])
    results.attrs["unit"] = "item"
    found = audit(results, versus="a").set_index("method").loc["b"]
    table = pd.crosstab(right["a"], right["b"]).to_numpy()
    assert found["test"] == MCNEMAR
    assert found["p"] == pytest.approx(mcnemar(table, exact=True).pvalue)  # pyright: ignore


def written(folder, text: str | bytes):
    path = folder / "r.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def run(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def csv_of(results: pd.DataFrame) -> str:
    return results.rename(columns={"unit": results.attrs["unit"]}).to_csv(index=False)


def test_the_command_prints_ranks_in_every_form(tmp_path):
    several = [of_seeds(dataset=f"d{i}") for i in range(6)]
    results = pd.concat(several)
    results.attrs = several[0].attrs
    path = written(tmp_path, csv_of(results))
    text = run("--audit", path).stdout
    assert "### d0: versus B" in text and "average ranks" in text and "Friedman" in text
    entries = json.loads(run("--audit", path, "--format", "json", "--versus", "ERM").stdout)
    assert [e["verdict"] for e in entries[:4]] == ["better", "better", "", "worse"]
    run("--audit", path, "--format", "csv", "-o", tmp_path / "out.csv")
    assert list(pd.read_csv(tmp_path / "out.csv")["rank"][:4]) == [1, 1, 3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method,value\nA,1\n", "neither seed nor item"),
        ("method,seed,item,value\nA,1,2,3\n", "both seed and item"),
        ("method,seed\nA,1\n", "no column 'value'"),
        ("method,seed,value,why\nA,1,2,x\n", "unknown column 'why'"),
        ("method,seed,value\nA,1,x\n", "line 2: value is no finite number: 'x'"),
        ("method,seed,value\nA,1,1\nA,1,2\n", "line 3: a method has this seed twice: 'A, 1'"),
        ("method,seed,value\nA,1,inf\n", "line 2: value is no finite number"),
        ("method,seed,value\n,1,2\n", "line 2: method is empty"),
        ("method,seed,value\nA,1,2\n", "one method only"),
        ("method,seed,value\n", "no line below the headers"),
        ("", "no CSV in UTF-8 (it is empty)"),
        (b"method,seed,value\n\xff,1,2\n", "no CSV in UTF-8 (byte 19 is none of it)"),
        ("method,seed,value\nA,1,2,3,4\nB,1\n", "no CSV in UTF-8 (a line has more values than there are headers)"),
        ("method;seed;value\nA;1;2\n", "no column 'method' in 'method;seed;value'"),
        ("method,seed,value\nA,1,2\nB,1\n", "line 3: value is empty"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=f"^{tmp_path}/r.csv: .*") as raised:
        result_file.read_results(written(tmp_path, text))
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_more_than_can_be_compared_is_refused(tmp_path, monkeypatch):
    text = "method,item,value\n" + "".join(f"m{i},{i},1\n" for i in range(600))
    with pytest.raises(ValueError, match="600 methods of 600 units"):
        result_file.read_results(written(tmp_path, text))
    monkeypatch.setattr(result_file, "MOST_LINES", 500)
    with pytest.raises(ValueError, match="more than 500 lines"):
        result_file.read_results(tmp_path / "r.csv")


def test_a_terminal_shows_names_without_the_escapes_of_markdown(tmp_path, monkeypatch, capsys):
    results = of_seeds().replace({"method": {"A": "a_b*"}})
    results.attrs = of_seeds().attrs
    path = written(tmp_path, csv_of(results))
    for terminal, name in ((False, r"| a\_b\* "), (True, "| a_b* ")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        app(["report", "--audit", str(path)], standalone_mode=False)
        assert name in capsys.readouterr().out


def test_what_audit_does_not_take_is_named(tmp_path):
    path = written(tmp_path, csv_of(of_seeds()))
    for words, said in (
        (["--audit", path, "--html", "x.html"], "not with --html"),
        (["--audit", path, "--published"], "not with --published"),
        (["--audit", path, "runs/a"], "not with stores"),
        (["--audit", path, "--format", "latex"], "md, csv, json"),
        (["--audit", path, "--versus", "EMR"], "no method 'EMR'; nearest of its 4 is 'ERM'"),
        (["--audit", tmp_path / "none.csv"], "no such file"),
        (["--audit", tmp_path], "a folder"),
        ([], "--audit FILE.csv"),
    ):
        error = run(*words).exception
        assert isinstance(error, ReportError) and said in str(error)
