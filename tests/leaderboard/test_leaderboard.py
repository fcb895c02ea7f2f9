"""The leaderboard's promises: nothing dead is counted, numbers carry their uncertainty, published is not measured."""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from tailboard.harness.errors import ReportError
from tailboard.harness.reporting.report import Report
from tailboard.leaderboard import results
from tailboard.leaderboard.formats import latex, markdown, notebook, records
from tailboard.leaderboard.formats.text import spreadsheet_cell
from tailboard.leaderboard.published.rows import PAPER, published
from tailboard.leaderboard.results import CELL, COLUMNS, empty_groups, summarise, with_classes
from tailboard.leaderboard.statistics.paired import detectable, holm, paired
from tailboard.leaderboard.tables import differences
from tailboard.leaderboard.tables.standings import standings
from tidy_rows import COMPLETE

NASTY = r"[x] <img src=x onerror=alert(1)> a|b \ & 100% $#_{}~^ `*ρ× 中" + "\n\x1b[2J"
ERM = [40.0, 41.0, 42.0, 43.0, 44.0]
SPREAD = [10.0, 20.0, 30.0, 40.0, 70.0]
FAR = [value + shift for value, shift in zip(ERM, [9.0, 9.5, 10.0, 10.5, 11.0], strict=True)]


COMMON = {"dataset": "cifar10", "setting": "IF 100", "protocol": "small, 20 epochs", "group": "all", "classes": 10}


def cell(method, values, **columns):
    """Rows of one cell, a seed for each value; a string in place of a value is "status: reason"."""
    rows = []
    for seed, value in enumerate(values):
        row = COMMON | COMPLETE | columns | {"key": f"{method} {seed}", "method": method, "seed": seed}
        if isinstance(value, str):
            row["status"], row["reason"] = value.split(": ")
        rows.append(row | {"value": value if row["status"] == "complete" and row["classes"] else np.nan})
    return rows


def board(*cells):
    return pd.DataFrame([row for rows in cells for row in rows], columns=list(COLUMNS))


DIVERGED = "diverged: loss not finite at step 12"
EVERYTHING = board(
    cell("ERM", ERM),
    cell("ERM", ERM, group="few", classes=0),
    cell("three", [28.0, 29.0, 31.0]),
    cell("some", [30.0, 31.0, 32.0, 33.0, DIVERGED]),
    cell("dead", ["failed: out of memory"] * 3 + [DIVERGED, "missing: not run yet"]),
    cell("to come", ["missing: not run yet"] * 5),
    cell(NASTY, [50.0], verified=False, dataset="cinic10", setting="IF 1000"),
)


def only(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    (index,) = frame.index
    return frame.loc[index]


def test_the_mean_and_standard_error_are_exact():
    found = only(summarise(board(cell("ERM", ERM))))
    assert (found["mean"], found["n"], found["planned"], found["status"]) == (42.0, 5, 5, "complete")
    assert found["stderr"] == pytest.approx(np.sqrt(2.5 / 5), abs=1e-12)  # variance 10 / (5 - 1): ddof = 1
    assert np.isnan(only(summarise(board(cell("ERM", [40.0]))))["stderr"])


@pytest.mark.parametrize(
    ("method", "group", "n", "status", "reason"),
    [
        ("ERM", "all", 5, "complete", ""),
        ("ERM", "few", 0, "n/a", "0 classes"),
        ("some", "all", 4, "incomplete", "1 of 5 diverged: loss not finite at step 12"),
        ("to come", "all", 0, "missing", "5 of 5 missing"),
        (
            "dead",
            "all",
            0,
            "failed",
            "1 of 5 diverged: loss not finite at step 12; 3 of 5 failed: out of memory; 1 of 5 missing",
        ),
    ],
)
def test_what_did_not_finish_is_told_and_never_averaged(method, group, n, status, reason):
    found = only(summarise(EVERYTHING), method=method, group=group)
    assert (found["n"], found["status"], found["reason"]) == (n, status, reason)
    assert np.isnan(found["mean"]) == (n == 0)
    if method == "some":
        assert found["mean"] == 31.5


IDLE = "no image was accepted"


def test_what_did_not_act_is_averaged_and_marked_in_every_form():
    rows = board(cell("ERM", ERM), cell("M2m", ERM, reason=IDLE), cell("late", ERM))
    rows.loc[rows["key"].isin(["late 0", "late 1"]), "reason"] = IDLE
    found = summarise(rows).set_index("method")
    assert found["mean"].nunique() == 1
    assert found["status"].unique().tolist() == ["complete"]
    assert found["reason"].to_dict() == {"ERM": "", "M2m": f"5 of 5: {IDLE}", "late": f"2 of 5: {IDLE}"}
    for text in (markdown.markdown(rows), latex.latex(rows), records.csv(rows), records.json(rows)):
        assert f"5 of 5: {IDLE}" in text
        assert f"2 of 5: {IDLE}" in text
    (line,) = (line for line in markdown.markdown(rows).splitlines() if "M2m" in line)
    assert "¹" in line
    schema = json.loads(records.SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(records.json(rows)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="seed"), "missing or unknown columns.*seed"),
        (lambda rows: rows.head(0), "no rows"),
        (lambda rows: rows.assign(group="tail"), "'group' has.*tail"),
        (lambda rows: rows.assign(method=None), "'method' has empty"),
        (lambda rows: rows.assign(classes=0), "exactly where a trial is complete"),
        (lambda rows: rows.assign(status="failed"), "exactly where a trial is complete"),
        (lambda rows: rows.assign(value=np.nan), "exactly where a trial is complete"),
        (lambda rows: rows.assign(value=101.0), "percentage"),
        (lambda rows: pd.concat([rows, rows]), "share a cell and a seed"),
    ],
)
def test_an_untidy_table_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        summarise(change(board(cell("ERM", ERM))))


percent = st.floats(0, 100)
boards = st.lists(st.lists(percent, min_size=1, max_size=6), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=40)
@given(boards, st.randoms(use_true_random=False))
def test_means_are_numpys_and_ignore_the_order_of_rows(values, random):
    rows = board(*(cell(f"method {i}", each) for i, each in enumerate(values)))
    summary = summarise(rows)
    np.testing.assert_allclose(summary["mean"], [np.mean(each) for each in values], atol=1e-9)
    errors = [np.std(each, ddof=1) / len(each) ** 0.5 for each in values if len(each) > 1]
    np.testing.assert_allclose(summary["stderr"].dropna(), errors, atol=1e-9)
    shuffled = rows.iloc[random.sample(range(len(rows)), len(rows))]
    again = summarise(shuffled).sort_values(CELL, ignore_index=True)
    pd.testing.assert_frame_equal(again, summary.sort_values(CELL, ignore_index=True), check_exact=True)
    assert records.csv(rows) == records.csv(rows.copy())
    back = csv.DictReader(io.StringIO(records.csv(rows)))
    assert [float(line["mean"]) for line in back] == summary["mean"].tolist()


def test_columns_and_methods_keep_the_plans_order():
    rows = board(cell("Z", ERM, setting="IF 200"), cell("A", ERM), cell("Z", ERM, group="few"), cell("Z", ERM))
    found = summarise(rows)[["setting", "method", "group"]].agg(" ".join, axis=1).tolist()
    assert found == ["IF 200 Z all", "IF 100 Z few", "IF 100 Z all", "IF 100 A all"]


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, made monotone: .02 .03 .06 .06.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])


def test_the_detectable_difference_is_the_known_one():
    """Five pairs: 1.7 standard deviations alone, 3.0 at Holm's first of eight steps (reference/field.md)."""
    assert detectable(5) / 5**0.5 == pytest.approx(1.7, abs=0.05)
    assert detectable(5, comparisons=8) / 5**0.5 == pytest.approx(3.0, abs=0.05)


def test_a_paired_difference_agrees_with_scipy():
    ours = [43.0, 43.5, 46.0, 45.5, 48.0]
    rows = board(cell("ERM", ERM), cell("SAM-A", ours), cell("part", [*FAR[:4], DIVERGED]))
    found = only(paired(rows, "ERM"), method="SAM-A")
    theirs = ttest_rel(ours, ERM)
    interval = theirs.confidence_interval(0.95)
    assert found["difference"] == pytest.approx(3.2)
    assert found["p"] == pytest.approx(theirs.pvalue)
    assert found["p_holm"] == pytest.approx(2 * theirs.pvalue)  # "part", silent, counts as p = 1
    assert (found["ci95_low"], found["ci95_high"]) == pytest.approx((interval.low, interval.high))
    assert found["verdict"] == "better"


@pytest.mark.parametrize(
    ("reference", "method", "verdict"),
    [
        (cell("ERM", ERM), cell("far", FAR), "better"),
        (cell("ERM", FAR), cell("far", ERM), "worse"),
        (cell("ERM", ERM), cell("far", ERM[::-1]), "not separable"),
        (cell("ERM", ERM[:4]), cell("far", FAR[:4]), ""),
        (cell("ERM", [*ERM, 45.0]), cell("far", [*FAR, DIVERGED]), ""),
        (cell("ERM", [*ERM, "missing: not run yet"]), cell("far", [*FAR, 55.0]), ""),
        (cell("ERM", ERM), cell("far", FAR, verified=False), ""),
        (cell("ERM", SPREAD), cell("far", [value + 0.1 for value in SPREAD]), ""),  # alike but for rounding
        (cell("ERM", ERM, protocol="paper"), cell("far", FAR), ""),
    ],
)
def test_a_word_is_said_only_when_it_is_due(reference, method, verdict):
    found = only(paired(board(reference, method), "ERM"), method="far")
    assert found["verdict"] == verdict
    assert np.isnan(found["p_holm"]) == (verdict == "")


def test_a_difference_is_printed_with_the_sign_that_its_word_has():
    """However small it is: where it would round to zero as many decimals are shown as tell it from none."""
    ours = [value - less for value, less in zip(ERM, [0.04, 0.03, 0.05, 0.04, 0.04], strict=True)]
    rows = board(cell("ERM", ERM), cell("near", ours))
    text = markdown.markdown(rows, versus="ERM").split("difference from ERM")[1]
    assert cells_of(text, "near") == ["−0.04 ± 0.00 worse"]
    assert r"$-$0.04 $\pm$ 0.00 worse" in latex.latex(rows, versus="ERM")
    assert r"$-$0.040 $\pm$ 0.003 worse" in latex.latex(rows, versus="ERM", options=latex.LatexOptions(decimals=3))


def test_an_unknown_reference_names_the_nearest_method():
    with pytest.raises(ValueError, match=r"no method 'sam-a'.*did you mean 'SAM-A'"):
        paired(board(cell("ERM", ERM), cell("SAM-A", FAR)), "sam-a")


def simulated(shift, boards=400, methods=4, seeds=5):
    """Many boards of four methods against ERM, with seed effects shared and noise of one point."""
    rng = np.random.default_rng(0)
    values = 50 + rng.normal(0, 2, (boards, 1, seeds)) + rng.normal(0, 1, (boards, methods + 1, seeds))
    values[:, -1] += shift  # the last of them
    index = pd.MultiIndex.from_product([range(boards), range(methods + 1), range(seeds)])
    rows = index.to_frame(index=False, name=["setting", "method", "seed"]).assign(value=values.ravel())
    rows["method"] = rows["method"].map(lambda i: f"method {i}" if i else "ERM")
    fixed = {name: value for name, value in (COMMON | COMPLETE).items() if name != "setting"}
    return paired(rows.assign(**fixed, key="k"), "ERM")


def test_words_are_calibrated():
    """A board of equals gets any word at most 5 times in 100; a detectable shift gets it 80 times or more."""
    false = simulated(0.0).groupby("setting")["verdict"].agg(lambda words: words.isin(["better", "worse"]).any())
    assert 0 < false.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    shift = detectable(5, comparisons=4) * np.sqrt(2 / 5)  # the noise of a difference has variance 2
    found = simulated(shift)
    power = (found.loc[found["method"] == "method 4", "verdict"] == "better").mean()
    assert 0.80 - 3 * np.sqrt(0.8 * 0.2 / 400) <= power < 0.95


def cells_of(text, method):
    return [part.strip() for part in re.search(rf"^\| {re.escape(method)} .*$", text, re.M)[0].split("|")[2:-1]]


def test_markdown_says_what_became_of_each_cell():
    few = cell(NASTY, [50.0], group="few", verified=False, dataset="cinic10", setting="IF 1000")
    rows = pd.concat([EVERYTHING, board(few)], ignore_index=True)
    text = markdown.markdown(rows, notes=["Every method had 20 tuning trials."])
    assert cells_of(text, "ERM") == ["n/a (0 classes)", "42.0 ± 0.7", "–", "–"]
    assert cells_of(text, "three")[1] == "29.3 ± 0.9 (n=3)"
    assert cells_of(text, "some")[1] == "31.5 ± 0.6 (n=4)¹"
    assert cells_of(text, "dead")[1] == "failed 4/5²"
    assert cells_of(text, "to come")[1] == "missing 5/5"
    assert "- ¹ 1 of 5 diverged: loss not finite at step 12\n" in text
    assert "cinic10 (unverified), IF 1000: All" in text
    assert "cifar10, IF 100: All" in text
    assert text.endswith("- Every method had 20 tuning trials.\n")
    assert text == markdown.markdown(rows.copy(), notes=["Every method had 20 tuning trials."])


TWO_CLASSES = board(
    cell("ERM", ERM),
    cell("far", FAR),
    cell("dead", ["failed: out of memory"] * 5),
    *(cell(name, ERM, group="few", classes=0) for name in ("ERM", "far")),
    cell("dead", ["failed: out of memory"] * 5, group="few", classes=0),
)


def test_a_group_without_a_class_is_no_column_for_readers():
    text = markdown.markdown(TWO_CLASSES, versus="ERM")
    assert cells_of(text, "ERM") == ["42.0 ± 0.7"] and cells_of(text, "dead") == ["failed 5/5¹"]
    (of_far,) = cells_of(text.split("difference from ERM")[1], "far")
    assert of_far.startswith("+10.0")
    for shown in (text, latex.latex(TWO_CLASSES, versus="ERM"), notebook.notebook(TWO_CLASSES)):
        assert shown.count("Few") == 1 and "No class is in Few." in shown
    assert latex.latex(TWO_CLASSES, options=latex.LatexOptions(tabular_only=True)).count("&") == 2 + 3
    (wins,) = standings(TWO_CLASSES, "ERM")
    assert [group for _, groups in wins.spans for group in groups] == ["All"]
    report = Report(TWO_CLASSES, [], [])
    with pytest.raises(ReportError, match="--columns: no class is in few; the table has all"):
        report.rendered("latex", printed=latex.LatexOptions(groups=("few",)))
    assert "Few" not in report.rendered("latex", printed=latex.LatexOptions(groups=("few", "all"), tabular_only=True))
    assert records.csv(TWO_CLASSES).count(",few,") == 3


def test_a_table_without_the_groups_that_are_asked_for_is_left_out():
    few = board(cell("ERM", ERM, group="few", dataset="d"), cell("ERM", ERM, dataset="d"))
    report = Report(pd.concat([TWO_CLASSES, few.assign(protocol="paper")], ignore_index=True), [], [])
    assert report.without_columns(("few",)) == ["small, 20 epochs"]
    assert report.without_columns(()) == report.without_columns(("few", "all")) == []
    for tabular_only in (False, True):
        text = report.rendered("latex", printed=latex.LatexOptions(groups=("few",), tabular_only=tabular_only))
        assert "% small, 20 epochs: left out, since no class is in the groups" in text
        assert text.count(r"\begin{tabular}") == 1 and "d, IF 100" in text and "cifar10" not in text


def test_a_number_that_a_ratio_gave_is_rounded_for_readers_only():
    rows = board(cell("ERM", ERM, setting="step, IF 33.333333333333336"), cell("ERM", ERM, setting="IF 10.000001"))
    for shown in (markdown.markdown(rows), latex.latex(rows), notebook.notebook(rows)):
        assert "cifar10, step, IF 33.333" in shown and "33.3333" not in shown and "IF 10.000001" in shown
    assert '"step, IF 33.333333333333336"' in records.csv(rows)


def test_a_group_with_a_class_in_one_data_set_is_a_column_of_each_in_its_table():
    few = board(cell("ERM", ERM, group="few", dataset="cinic10"), cell("ERM", ERM, dataset="cinic10"))
    both = markdown.markdown(pd.concat([TWO_CLASSES, few], ignore_index=True))
    assert cells_of(both, "ERM") == ["n/a (0 classes)", "42.0 ± 0.7", "42.0 ± 0.7", "42.0 ± 0.7"]
    apart = pd.concat([TWO_CLASSES, few.assign(protocol="paper, 200 epochs")], ignore_index=True)
    assert empty_groups(apart) == {"small, 20 epochs": ["few"]}
    assert {*with_classes(apart)["group"]} == {"few", "all"} and len(with_classes(apart)) == len(apart) - 15
    without = TWO_CLASSES.assign(classes=0, value=np.nan)
    assert empty_groups(without) == {}, "what lacks the metric lacks no class"


def test_markdown_shows_the_verdict_and_what_could_have_been_seen():
    rows = board(
        cell("ERM", ERM),
        cell("far", FAR),
        cell("near", [value - 0.01 for value in ERM[::-1]]),
        cell("short", [40.0, 40.5]),
    )
    text = markdown.markdown(rows, versus="ERM").split("difference from ERM")[1]
    assert cells_of(text, "far") == ["+10.0 ± 0.4 better"]
    assert re.fullmatch(r"\+0\.0 ± 1\.4 not separable \(\d\.\d\)", cells_of(text, "near")[0])
    assert cells_of(text, "short") == ["−0.2 ± 0.2 (n=2)"]


def test_csv_and_json_hold_the_differences_that_the_markdown_words():
    rows = board(cell("ERM", ERM), cell("far", FAR), cell("short", [40.0, 40.5]))
    lines = {line["method"]: line for line in csv.DictReader(io.StringIO(records.csv(rows, versus="ERM")))}
    entries = {entry["method"]: entry for entry in json.loads(records.json(rows, versus="ERM"))}
    found = paired(rows, "ERM").set_index("method")
    assert entries["far"]["verdict"] == lines["far"]["verdict"] == "better" and entries["short"]["verdict"] == ""
    for name in differences.COLUMNS[:7]:
        own = {"difference_stderr": "stderr", "shared": "n"}.get(name, name)
        for method in ("far", "short"):
            expected = found.loc[method, own]
            assert entries[method][name] == (None if pd.isna(expected) else expected)
            assert lines[method][name] == ("" if pd.isna(expected) else f"{expected}")
        assert entries["ERM"][name] is None and lines["ERM"][name] == ""
    assert records.csv(rows).splitlines()[0] == ",".join(records.FIELDS), "as ever where nothing is compared"


def test_a_method_alone_has_no_differences_to_show():
    alone = board(cell("ERM", ERM))
    assert latex.latex(alone, versus="ERM") == latex.latex(alone)


def test_protocols_never_share_a_table():
    text = markdown.markdown(board(cell("ERM", ERM), cell("ERM", FAR, protocol="paper, 200 epochs")))
    assert re.findall(r"^### (.*)$", text, re.M) == [
        "small, 20 epochs, cifar10, IF 100",
        "paper, 200 epochs, cifar10, IF 100",
    ]
    assert len(re.findall(r"^\| ERM ", text, re.M)) == 2


def test_names_are_inert_text():
    text = markdown.markdown(EVERYTHING, versus="ERM")
    assert not re.search(r"(?<!\\)<|\x1b|(?<!\\)\[", text)
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.split("###")[1].splitlines() if line[:1] == "|"}
    assert widths == {4}  # a method and the two columns that have classes, whatever pipes a name holds


def document(tex):
    return rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{tex}\end{{document}}"


def test_latex_is_escaped_and_balanced():
    tex = latex.latex(EVERYTHING, "ERM", published(), notes=[NASTY])
    bare = re.sub(r"\\[&%$#_{}\\]", "", tex)  # what is left has a meaning to TeX
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert tex.isascii()
    assert "{[}U+4E2D{]}" in tex
    assert not re.search(r"\\\\\s*[\[*]", tex)
    for table in re.findall(r"\\midrule\n(.*?)\\bottomrule", bare, re.S):
        assert len({line.count("&") for line in table.strip().splitlines()}) == 1


def test_latex_shows_what_a_paper_asks_for():
    rows = board(cell("ERM", ERM), cell("far", FAR), cell("ERM", ERM, group="few"), cell("far", FAR, group="few"))
    options = latex.LatexOptions(
        caption="Our 50% table.", label="tab:ours", groups=("all",), methods=("far", "ERM"), decimals=2
    )
    text = latex.latex(rows, options=options)
    assert r"\caption[Our 50\% table.]{Our 50\% table.}" in text and r"\label{tab:ours}" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.split(" & ")[0] for line in body] == ["far", "ERM"] and body[0].count("&") == 1
    assert r"Method & All \\" in text and re.search(r"\d\.\d\d \$\\pm\$ \d\.\d\d", body[0])
    assert body[0].count(r"\textbf") == 1, "what is emphasised moves with its cell"
    bare = latex.latex(rows, published=published(), options=latex.LatexOptions(tabular_only=True))
    assert bare.startswith(r"\begin{tabular}") and bare.count(r"\begin") == 1 and "caption" not in bare
    for wrong in ({"bold": "all"}, {"groups": ("fewest",)}, {"decimals": 9}):
        with pytest.raises(ValueError, match="is not"):
            latex.LatexOptions(**wrong)


def test_a_caption_has_two_sentences():
    caption = re.search(r"\\caption\[.*?\]\{(.*)\}$", latex.latex(EVERYTHING, notes=["A note."]), re.M)[1]
    assert caption.count(". ") == 2 and "A note" not in caption  # the title, how it was measured, what is bold


@pytest.mark.parametrize("alone", [True, False])
def test_latex_compiles(tmp_path: Path, alone):
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine is None:
        pytest.skip("neither pdflatex nor tectonic is installed")
    source, tex = tmp_path / "report.tex", latex.latex(EVERYTHING, "ERM", published(), notes=[NASTY])
    source.write_text(tex if alone else document(tex), encoding="utf-8")
    flags = [] if engine.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([engine, *flags, source.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_json_is_strict_and_csv_is_complete():
    def refuse(constant):
        raise AssertionError(constant)

    entries = json.loads(records.json(EVERYTHING), parse_constant=refuse)
    assert [list(entry) for entry in entries] == [records.FIELDS] * 7
    empty = next(entry for entry in entries if entry["group"] == "few")
    assert empty | {"mean": None, "stderr": None, "n": 0, "planned": 5, "status": "n/a", "verified": True} == empty
    assert entries[-1]["verified"] is False
    text = records.csv(EVERYTHING)
    assert "\r" not in text
    summary = summarise(EVERYTHING).assign(metric="balanced_accuracy")[records.FIELDS]
    told = summary.map(lambda value: spreadsheet_cell(value) if isinstance(value, str) else value)
    assert text == told.to_csv(index=False, lineterminator="\n")
    back = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert back["status"].tolist() == [entry["status"] for entry in entries]
    assert back["method"].tolist() == [entry["method"] for entry in entries]


def test_the_json_keeps_its_published_schema():
    schema = json.loads(records.SCHEMA.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    entries = json.loads(records.json(EVERYTHING))
    validator.validate(entries)
    assert set(schema["items"]["required"]) == set(records.FIELDS)
    assert set(schema["items"]["properties"]) == {
        *records.FIELDS, *records.COSTS, "notes", "versus", *differences.COLUMNS
    }  # fmt: skip
    with_differences = json.loads(records.json(EVERYTHING, versus="ERM"))
    validator.validate(with_differences)
    assert all(entry["versus"] == "ERM" for entry in with_differences)
    worth = next(i for i, entry in enumerate(entries) if entry["n"] == 5)
    for change in ({"mean": None}, {"n": 0}, {"group": "tail"}, {"stderr": -1.0}, {"extra": 1}, {"reason": "1 failed"}):
        wrong = [entry | change if i == worth else entry for i, entry in enumerate(entries)]
        assert not validator.is_valid(wrong), change
    assert not validator.is_valid([])
    assert not validator.is_valid([{key: value for key, value in entries[worth].items() if key != "ci95"}])


def test_parquet_holds_the_tidy_rows():
    found = pd.read_parquet(io.BytesIO(records.parquet(EVERYTHING)))
    assert list(found.columns) == [*COLUMNS, "metric"]
    assert set(found["metric"]) == {"balanced_accuracy"}
    back = found.drop(columns="metric")
    assert records.csv(back) == records.csv(EVERYTHING)
    assert records.parquet(EVERYTHING) == records.parquet(EVERYTHING.copy())
    with pytest.raises(ValueError, match="no rows"):
        records.parquet(EVERYTHING.head(0))


TABLE_5 = """
ERM                     40.5 0.4 64.1 0.3 90.1 0.5 20.1 0.3 42.3 0.3 70.5 0.6
Reweighting             36.6 0.5 63.1 0.3 87.8 0.3 17.1 0.4 39.3 0.3 67.1 0.4
Resampling              37.4 0.5 63.6 0.6 87.9 0.4 18.4 0.2 38.1 0.2 68.9 0.3
Focal Loss              39.1 0.2 63.9 0.2 88.2 0.5 19.8 0.4 39.0 0.5 69.3 0.6
LDAM-DRW                40.1 0.4 64.3 0.4 89.8 0.3 20.8 0.5 42.1 0.3 70.6 0.4
M2m                     42.8 0.7 64.1 0.6 90.3 0.4 20.1 0.6 41.8 0.4 69.4 0.5
SAM-A                   43.2 0.3 62.3 0.6 89.7 0.3 22.5 0.4 40.3 0.3 70.1 0.4
Joint-SSL + SAM-A       43.9 0.4 63.3 0.5 90.4 0.5 22.9 0.3 41.3 0.6 69.9 0.6
Joint-SSL + SAM-A + M2m 44.1 0.3 64.2 0.4 90.9 0.3 23.9 0.4 42.3 0.2 70.4 0.3
"""


def test_the_papers_table_5_is_as_printed():
    """Copied from the appendix a second time, in the printed order: CINIC-10, then CIFAR-100."""
    frame = published()
    frame = frame[frame["source"].str.startswith(PAPER)]
    places = [(dataset, group) for dataset in ("cinic10", "cifar100") for group in ("few", "med", "many")]
    lines = [re.split(r" +(?=\d\d\.)", line, maxsplit=1) for line in TABLE_5.strip().splitlines()]
    assert len(frame) == 54
    for method, numbers in lines:
        pairs = iter(map(float, numbers.split()))
        for (dataset, group), mean, stderr in zip(places, pairs, pairs, strict=True):
            row = only(frame, method=method, dataset=dataset, group=group)
            assert (row["mean"], row["stderr"], row["n"]) == (mean, stderr, 5)
    assert "inferred" in only(frame[frame["method"] == "ERM"], dataset="cifar100", group="few")["setting"]


def test_published_rows_stand_apart():
    text = markdown.markdown(board(cell("ERM", ERM)), published=published())
    measured, quoted = text.split("### Published (quoted, not measured)")[:2]
    assert cells_of(measured, "ERM") == ["42.0 ± 0.7"]
    assert cells_of(quoted, "ERM")[:2] == ["40.5 ± 0.4", "64.1 ± 0.3"]
    assert "arXiv:2312.02517" in quoted


def test_the_leaderboard_knows_only_tables():
    """Its imports: the standard library, pandas and its kin, its own files, and matplotlib where figures are drawn."""
    folder = Path(results.__file__).parent
    allowed = {"numpy", "pandas", "scipy", "tabulate"}
    allowed |= {"collections", "csv", "dataclasses", "difflib", "functools", "io", "itertools", "json", "pathlib"}
    allowed |= {
        "__future__",
        "base64",
        "contextlib",
        "hashlib",
        "html",
        "math",
        "re",
        "string",
        "textwrap",
        "typing",
        "warnings",
        "zlib",
    }
    for path in folder.rglob("*.py"):
        drawing = {"matplotlib"} if path.parent.name == "figures" else set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed | drawing, path
            if isinstance(node, ast.ImportFrom):
                assert node.level > 0 or (node.module or "").split(".")[0] in allowed | drawing, path


@given(st.lists(st.floats(allow_infinity=False), max_size=20))
def test_a_csv_writes_each_number_in_full(values):
    column = pd.Series([*values, 1e-4, 9.999e-05, 1e16, 9999999999999998.0, -0.0, 5e-324], dtype=float)
    assert records._written(column) == ["" if np.isnan(value) else repr(value) for value in column.tolist()]


@given(st.lists(st.sampled_from(["a", "a,b", '"', "x\ny", "=1", "", "é"]), min_size=1))
def test_a_csv_writes_each_text_so_that_it_is_read_again(texts):
    fields = records._written(pd.Series(texts, dtype="str"))
    assert next(csv.reader([",".join([*fields, "end"])])) == [*map(spreadsheet_cell, texts), "end"]


def test_a_csv_leaves_a_number_out_that_is_not_known():
    assert records._written(pd.Series([1, None, 3], dtype="Int64")) == ["1", "", "3"]
    assert records._written(pd.Series([1, 1, 3])) == ["1", "1", "3"]
