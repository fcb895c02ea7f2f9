"""The content of a page with everything that a page can show, and names that would harm one."""

import numpy as np
import pandas as pd

from tailboard.leaderboard.html.model import DataCard, Evidence, MethodCard, PageContent
from tailboard.leaderboard.published.comparison import Routine
from tailboard.leaderboard.published.rows import published
from tailboard.leaderboard.results import COLUMNS, MACHINE
from tidy_rows import COMPLETE

NASTY = "<img src=x onerror=alert(1)>"
WORSE = '</script><script>alert(2)</script> "&amp; $x$ %{y} <a href="javascript:alert(3)">a</a> a|b \\ 中\n\x1b[2J'
METHODS = ["ERM", "near", "better", "part", "dead", "to come", NASTY, WORSE]
COUNTS = (500, 120, 60, 20, 19, 5)
GROUPS = {"few": (4, 5), "med": (2, 3), "many": (0, 1), "all": tuple(range(6))}
TESTS = (40, 40, 40, 20, 20, 10)
SETTINGS = [("cifar10", "IF 100", "small, 20 epochs"), ("cinic10", "IF 10", "small, 20 epochs"),
            ("cifar10", "IF 100", "paper, 200 epochs")]  # fmt: skip
LOG = "Traceback (most recent call last):\nValueError: <b>no</b>"


def trial(method, setting, seed, rng):
    """One trial's rows and its evidence: what each method is at, a seed moves all of them alike."""
    dataset, words, protocol = setting
    key = f"{abs(hash((METHODS.index(method), SETTINGS.index(setting), seed))):020x}"
    status, reason = "complete", ""
    if (method, seed) in (("part", 3), ("dead", 1)):
        status, reason = "failed", "ValueError: <b>no</b>"
    elif method == "dead":
        status, reason = "diverged", "loss not finite"
    elif method == "to come":
        status, reason = "missing", "not run yet"
    share = np.clip(0.4 + 0.02 * seed + 0.25 * (method == "better") + rng.normal(0, 0.02, 6), 0, 1)
    right = np.round(share * TESTS).astype(int) if status == "complete" else ()
    accuracy = [100 * n / of for n, of in zip(right, TESTS, strict=False)]
    common = {"key": key, "dataset": dataset, "setting": words, "protocol": protocol, "method": method, "seed": seed,
              **COMPLETE, "status": status, "reason": reason, "verified": dataset != "cinic10",
              "device_seconds": 10.0 + seed, MACHINE: "slide rule"}  # fmt: skip
    rows = [
        common | {"group": g, "classes": len(at), "value": np.mean([accuracy[c] for c in at]) if accuracy else np.nan}
        for g, at in GROUPS.items()
    ]
    told = Evidence(
        counts=COUNTS, tests=TESTS, right=tuple(int(n) for n in right), classes=tuple("abcdef"),
        groups=("many", "many", "med", "med", "few", "few"), facts={"commit": "c0ffee", "processor": "slide rule"},
        values={"loss.gamma": 2.0}, rerun=("tailboard run again --seed ", " --now"),
        log=LOG if status == "failed" else "",
        course="monday to tuesday", curve=((1, 2.0 + seed), (2, 1.0)) if status == "complete" else (),
    )  # fmt: skip
    return rows, key, told


def built(seeds=5):
    rng = np.random.default_rng(seeds)
    found = [trial(m, s, seed, rng) for s in SETTINGS for m in METHODS for seed in range(seeds)]
    rows = pd.DataFrame([row for rows, _, _ in found for row in rows], columns=[*COLUMNS, MACHINE])
    return rows, {key: told for _, key, told in found if told.right or told.log}


ROWS, EVIDENCE = built()
BUDGET = pd.DataFrame({
    "dataset": "cifar10", "setting": "IF 100", "protocol": "small, 20 epochs", "method": ["ERM", "ERM", NASTY],
    "trials": [1, 2, 1], "epochs": [5, 10, 5], "expected_best": [40.0, 41.5, np.nan], "none_finished": [0.0, 0.0, 1.0],
    "best_so_far": [40.0, 42.0, np.nan],
})  # fmt: skip
ROUTINES = {SETTINGS[0][2]: Routine("small", 20, "none")}
SUBJECT = PageContent(
    "a <i>title</i>", ROWS, EVIDENCE, ["A note."], None, published(), BUDGET, "val/all", (20, 100), routines=ROUTINES,
    methods={"ERM": MethodCard("the routine alone", "Some 2019, arXiv 1901.05555; a file", 2019, {}, 1.0),
             NASTY: MethodCard(WORSE, WORSE)}, data={"cifar10": DataCard("photographs (A 2009)", "none formal")},
)  # fmt: skip
