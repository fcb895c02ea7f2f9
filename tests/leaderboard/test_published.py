"""Published beside measured: quoted as printed, compared only where that is fair, and no word where it is not."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from tailboard.harness.reporting.gather import routine
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Shots, plan
from tailboard.leaderboard.formats import markdown
from tailboard.leaderboard.published.comparison import MARGIN, Routine, compare
from tailboard.leaderboard.published.rows import PAPER, published
from tailboard.leaderboard.results import COLUMNS, summarise
from tailboard.leaderboard.tables.report_tables import View
from tidy_rows import COMPLETE

PROTOCOL = "resnet32, 200 epochs"
ROUTINES = {PROTOCOL: Routine("resnet32", 200, "crop and flip")}
OURS = [70.0, 70.2, 70.4, 70.6, 70.8]
THEIRS = {
    "source": "a paper", "method": "ERM", "dataset": "cifar10", "setting": "IF 100", "network": "ResNet-32",
    "epochs": 200, "augmentation": "crop and flip", "group": "all", "mean": 70.5, "stderr": 0.2, "n": 5,
    "selection": "last epoch", "note": None,
}  # fmt: skip


def measured(values=OURS, **changes):
    row = {
        "key": "k", "dataset": "cifar10", "setting": "IF 100", "protocol": PROTOCOL, "method": "ERM", "group": "all",
        "classes": 10, **COMPLETE,
    } | changes  # fmt: skip
    rows = [row | {"seed": seed, "value": value} for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdict(rows, routines=ROUTINES, **changes):
    found = compare(summarise(rows), pd.DataFrame([THEIRS | changes]), routines)
    assert len(found) == 1
    return found.iloc[0]


def test_the_test_is_welchs():
    theirs = np.array([69.0, 71.5, 70.0])
    error = theirs.std(ddof=1) / np.sqrt(3)
    found = verdict(measured(), mean=theirs.mean(), stderr=error, n=3)
    welch = ttest_ind(OURS, theirs, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert found["p"] == pytest.approx(welch.pvalue)
    assert (found["ci95_low"], found["ci95_high"]) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("mean", "stderr", "word"),
    [
        (70.5, 0.2, "reproduced"),
        (70.9, 0.01, "reproduced"),  # surely another number, and surely within the margin
        (75.0, 0.2, "not reproduced"),
        (65.0, 0.2, "not reproduced"),
        (70.5, 2.0, "not comparable"),  # no difference was found, but with so wide an interval none could be
    ],
)
def test_a_word_needs_an_interval_that_can_carry_it(mean, stderr, word):
    found = verdict(measured(), mean=mean, stderr=stderr)
    assert found["verdict"] == word
    if word == "reproduced":
        assert max(abs(found["ci95_low"]), abs(found["ci95_high"])) < MARGIN
    if word == "not comparable":
        assert found["why"].startswith("precision")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"network": "WideResNet-28-10"}, "network (WideResNet-28-10 there, resnet32 here)"),
        ({"network": None}, "network (not stated there)"),
        ({"epochs": 300}, "epochs (300 there, 200 here)"),
        ({"epochs": None}, "epochs (not stated there)"),
        ({"augmentation": "AutoAugment, Cutout"}, "augmentation (AutoAugment, Cutout there, crop and flip here)"),
        ({"setting": "IF not stated"}, "imbalance (IF not stated there)"),
        ({"selection": "best epoch on the test set"}, "selection on test (best epoch on the test set)"),
        ({"selection": "not stated"}, "selection (not stated there)"),
        ({"stderr": None}, "error (none stated there)"),
        ({"n": None}, "error (none stated there)"),
    ],
)
def test_what_differs_or_is_not_known_is_named_and_nothing_else_is_said(changes, why):
    found = verdict(measured(), **changes)
    assert (found["verdict"], found["why"]) == ("not comparable", why)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (measured(OURS[:4]), "seeds (n = 4 here)"),
        (measured(verified=False), "data (unverified here)"),
        (measured([70.0] * 5), ""),
        (measured(protocol="elsewhere"), "training (ours is not known)"),
    ],
)
def test_ours_gets_no_verdict_when_what_is_needed_is_not_there(rows, why):
    found = verdict(rows)
    assert (found["verdict"] == "not comparable") == bool(why)
    assert found["why"] == why


def test_other_groups_are_not_the_papers():
    found = verdict(measured(group="few"), {PROTOCOL: Routine("resnet32", 200, "crop and flip", False)}, group="few")
    assert found["why"] == "groups (other thresholds here)"


def test_another_tail_is_no_counterpart():
    assert compare(summarise(measured()), pd.DataFrame([THEIRS | {"setting": "IF 10"}]), ROUTINES).empty


def test_not_reproduced_survives_the_correction():
    """Nineteen rows that agree beside one whose p is below 0.05 alone, but not among twenty."""
    edge = THEIRS | {"mean": 72.05, "stderr": 0.6}
    alone = compare(summarise(measured()), pd.DataFrame([edge]), ROUTINES).iloc[0]
    assert (alone["verdict"], alone["p"] < 0.05) == ("not reproduced", True)
    methods = [f"method {i}" for i in range(19)]
    rows = pd.concat([measured(), *(measured(method=name) for name in methods)])
    quoted = pd.DataFrame([edge, *(THEIRS | {"method": name} for name in methods)])
    found = compare(summarise(rows), quoted, ROUTINES)
    assert found["verdict"].value_counts().to_dict() == {"reproduced": 19, "not comparable": 1}


def test_the_shipped_rows_say_where_they_are_from():
    rows = published()
    others = rows[~rows["source"].str.startswith(PAPER)]
    assert len(others) >= 20
    assert others["source"].nunique() >= 5
    assert (
        rows[["source", "method", "dataset", "setting", "network", "group", "mean", "selection"]]
        .notna()
        .to_numpy()
        .all()
    )
    assert not rows.duplicated(["source", "method", "dataset", "setting", "group"]).any()
    assert rows["mean"].between(0, 100).all()
    assert set(rows["group"]) == {"few", "med", "many", "all"}
    assert others["stderr"].isna().all()  # none of those sources printed one


@pytest.mark.parametrize(
    ("source", "method", "dataset", "setting", "group", "mean"),
    [
        ("BagofTricks-LT), trick", "Balanced Softmax", "cifar100", "IF 100", "all", 42.99),
        ("BagofTricks-LT), trick", "cRT", "cifar10", "IF 100", "all", 74.99),
        ("imbalanced-DL", "Mixup-DRW", "cinic10", "IF 100", "all", 71.40),
        ("imbalanced-DL", "M2m", "cifar10", "IF 100", "all", 76.15),
        ("yanyanSann", "LDAM-DRW", "cifar100", "IF 10", "all", 58.71),
        ("google-research", "Logit adjustment", "cifar100", "IF 100", "all", 44.07),
        ("DBM", "LDAM-DRW", "cifar100", "IF 100", "few", 26.9),
        ("ImbSAM", "SAM", "cifar100", "IF 100", "many", 79.7),
        ("Saddle", "LDAM-DRW + SAM", "cifar10", "IF 100", "all", 81.9),
        ("Class-Balanced", "ERM", "cifar100", "IF 100", "all", 38.32),
    ],
)
def test_rows_are_as_printed(source, method, dataset, setting, group, mean):
    """Some of each source, typed a second time; errors are printed as 100 less the accuracy."""
    rows = published()
    rows = rows[rows["source"].str.contains(source, regex=False)]
    found = rows.query("method == @method and dataset == @dataset and setting == @setting and group == @group")
    assert found["mean"].tolist() == [mean]


def test_no_shipped_row_can_be_called_reproduced():
    """What they leave open, or selected on the test set, keeps the word from every one of them."""
    rows = published()
    once = rows.drop_duplicates(["method", "dataset", "setting", "group"])
    cells = [
        measured(
            [row["mean"] + x for x in (-0.2, -0.1, 0.0, 0.1, 0.2)], **row[["method", "dataset", "setting", "group"]]
        )
        for _, row in once.iterrows()
    ]
    found = compare(summarise(pd.concat(cells)), rows, ROUTINES)
    assert len(found) >= len(rows)
    assert set(found["verdict"]) == {"not comparable"}
    assert (found["why"] != "").all()


def test_the_report_prints_them_apart_and_beside():
    text = markdown.markdown(measured(), published=pd.DataFrame([THEIRS]), view=View(routines=ROUTINES))
    means, beside, quoted = text.split("### ")[1:]
    assert "70.5" not in means
    assert "measured beside published" in beside
    assert "| ERM | cifar10, IF 100 | All | 70.4 ± 0.1 | 70.5 ± 0.2¹ | −0.1 [−0.7, +0.5] |" in " ".join(
        beside.replace("\\[", "[").replace("\\]", "]").split()
    )
    assert "reproduced" in beside
    assert "unpaired, since their seeds are not ours" in beside
    abroad = pd.DataFrame([THEIRS | {"n": None}])
    assert "not comparable (1) |" in (
        told := markdown.markdown(measured(), published=abroad, view=View(routines=ROUTINES))
    )
    assert "- (1) not comparable in error (none stated there)" in told
    assert quoted.startswith("Published (quoted, not measured)")
    assert "beside" not in markdown.markdown(measured(), published=pd.DataFrame([THEIRS]))


@pytest.mark.parametrize(
    ("preset", "facts"),
    [
        ("ldam2019", ("resnet32", 200, "crop and flip")),
        ("t5", ("wrn-28-10", 300, "crop and flip, TrivialAugmentWide, CutMix")),
    ],
)
def test_how_ours_was_trained_is_told_in_the_same_words(preset, facts):
    spec = parse({"name": "x", "data": "cifar10", "methods": "ERM", "training": {"preset": preset}})
    assert routine(plan(spec)[0], Shots()) == Routine(*facts)
    assert routine(plan(spec)[0], Shots(few=10)) == Routine(*facts, usual_groups=False)
