"""What is recommended is what the table supports."""

import pandas as pd

from tailboard.leaderboard.recommendation import recommended


def rows(values: dict[str, list[float]], status: str = "complete") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "key": f"{method}{seed}", "dataset": "d", "setting": "s", "protocol": "p", "method": method,
                "seed": seed, "group": group, "classes": 3, "value": value + shift, "status": status, "reason": "",
                "verified": True, "device_seconds": 1.0,
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


def test_what_does_not_separate_is_said_not_to():
    _, sentences = recommended(rows({"ERM": [50.0, 60, 50, 60, 50], "M2m": [60.0, 50, 60, 50, 61]}))
    assert sentences[1].endswith("which does not separate from chance over these seeds.")
    _, sentences = recommended(rows({"ERM": [50.0, 51], "M2m": [60.0, 61]}))
    assert sentences[1].endswith("of which fewer than five complete seeds allow no verdict.")
    assert recommended(rows({"ERM": [60.0, 61], "M2m": [50.0, 51]}))[0] == "ERM"
    missing = rows({"ERM": [50.0]}, "missing").assign(value=float("nan"))
    assert recommended(missing) == ("", [])
