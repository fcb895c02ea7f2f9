"""What is recommended is what the table supports."""

import pandas as pd

from tailboard.leaderboard.recommendation import joined, recommended
from tidy_rows import COMPLETE


def rows(values: dict[str, list[float]], status: str = "complete") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "key": f"{method}{seed}", "dataset": "d", "setting": "s", "protocol": "p", "method": method,
                "seed": seed, "group": group, "classes": 3, "value": value + shift,
                **COMPLETE, "status": status,
            }
            for method, each in values.items()
            for seed, value in enumerate(each)
            for group, shift in (("few", 10), ("med", 0), ("many", -5 if method == "M2m" else 5), ("all", 0))
        ]
    )  # fmt: skip


def test_the_best_is_named_with_its_difference_and_what_it_costs():
    method, sentences = recommended(rows({"ERM": [50.0, 51, 50, 52, 51], "M2m": [60.0, 61.5, 59, 62, 61]}))
    assert method == "M2m"
    assert sentences == [
        "M2m has the largest balanced accuracy: 60.7 percent.",
        "That is +9.9 points beside ERM, which separates after Holm's correction.",
        "In Few it changes +9.9 points.",
        "In Many it changes -0.1 points.",
    ]
    _, sentences = recommended(
        rows({"ERM": [50.0] * 5, "M2m": [60.0, 61.5, 59, 62, 61], "LDAM": [60.0, 60, 61, 60, 60]})
    )
    expected = "Next is LDAM, 0.5 points behind, which does not separate from chance over these seeds."
    assert sentences[4] == expected
    _, sentences = recommended(rows({"ERM": [60.0, 61, 62, 61, 60], "M2m": [51.0, 50, 52, 51, 51]}))
    assert sentences[1] == "Next is M2m, 9.8 points behind, which separates after Holm's correction."


def test_an_ensemble_beside_several_estimators_is_one_candidate():
    tables = [
        rows(values | {"RUSBoost": [60.0] * 5}).assign(protocol=f"{network}, tuned")
        for network, values in {"xgboost": {"ERM": [50.0] * 5}, "svm": {"ERM": [52.0] * 5}}.items()
    ]
    for table, network in zip(tables, ("xgboost", "svm"), strict=True):
        table["row_key"] = table["method"].where(table["method"] == "RUSBoost", table["method"] + network)
    one, baseline = joined(pd.concat(tables, ignore_index=True))
    assert baseline == "ERM on svm" and set(one["method"]) == {"ERM on xgboost", "ERM on svm", "RUSBoost"}
    method, sentences = recommended(one, baseline=baseline)
    assert method == "RUSBoost" and sentences[1].startswith("That is +8.0 points beside ERM on svm")


def classes(accuracies: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    """Of classes with 1000, 100 and 10 training images."""
    return pd.DataFrame(
        [
            {"method": method, "class": name, "images": images, "accuracy": accuracy}
            for method, each in accuracies.items()
            for name, images, accuracy in zip("abc", (1000, 100, 10), each, strict=True)
        ]
    )


def test_the_worst_class_and_the_prior_at_which_the_choice_changes_are_told():
    both = rows({"ERM": [50.0] * 5, "M2m": [60.0] * 5})
    _, sentences = recommended(both, classes({"ERM": (95, 60, 10), "M2m": (85, 60, 50)}))
    assert sentences[-2:] == [
        "Its worst class is c (50.0 percent); ERM's is c (10.0 percent).",
        # 10 points of a against 40 of c: shares of 4 to 1
        "For images whose classes differ by a factor of more than about 4.1, the mean of ERM is larger; as in training "
        "(100), ERM has 91.1 percent and M2m 82.4.",
    ]
    _, sentences = recommended(both, classes({"ERM": (95, 60, 10), "M2m": (95, 60, 50)}))
    assert sentences[-1] == (
        "It stays the best where the classes are as frequent as in training (factor 100): 91.4 percent of such images."
    )
    even = classes({"ERM": (95, 60, 10), "M2m": (95, 60, 50)}).assign(images=7)
    assert recommended(both, even)[1][-1].startswith("Its worst class")


def test_a_small_difference_that_separates_is_not_told_as_none():
    near = {"ERM": [50.0, 51, 50, 52, 51], "M2m": [50.04, 51.03, 50.05, 52.04, 51.04]}
    assert recommended(rows(near))[1][1] == "That is +0.04 points beside ERM, which separates after Holm's correction."
    near = {method: [*values] for method, values in zip(("M2m", "LDAM"), near.values(), strict=True)}
    assert recommended(rows(near))[1][1] == "Next is M2m, 0.04 points behind, which separates after Holm's correction."


def test_what_does_not_separate_is_said_not_to():
    _, sentences = recommended(rows({"ERM": [50.0, 60, 50, 60, 50], "M2m": [60.0, 50, 60, 50, 61]}))
    assert sentences[1].endswith("which does not separate from chance over these seeds.")
    _, sentences = recommended(rows({"ERM": [50.0, 51], "M2m": [60.0, 61]}))
    assert sentences[1].endswith("of which fewer than five complete seeds allow no verdict.")
    assert recommended(rows({"ERM": [60.0, 61], "M2m": [50.0, 51]}))[0] == "ERM"
    missing = rows({"ERM": [50.0]}, "missing").assign(value=float("nan"))
    assert recommended(missing) == ("", [])
