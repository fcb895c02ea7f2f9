"""The content of pages with few and with many methods, whose values are drawn so that some cannot be told apart."""

import numpy as np
import pandas as pd

from tailboard.leaderboard.html.model import Evidence, PageContent
from tailboard.leaderboard.results import COLUMNS
from tidy_rows import COMPLETE

NAMES = ["ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW", "M2m", "SAM-A", "Joint-SSL + SAM-A",
         "Joint-SSL + SAM-A + M2m"]  # fmt: skip
DATA = [("cifar10", "IF 100"), ("cifar100", "IF 100"), ("fashion-mnist", "IF 50")]
PROTOCOL = "small, 20 epochs"
GROUPS = ("few", "med", "many", "all")


def names(methods):
    return [*NAMES, *(f"Focal Loss (loss.gamma={number / 100:.2f})" for number in range(1, methods))][:methods]


def board(methods, datasets=1, seeds=5, versus=None, seed=0):
    """The page's content: means that rise in steps of a few, so that neighbours share a tier."""
    rng = np.random.default_rng(seed)
    rows, evidence = [], {}
    quality = np.sort(rng.normal(0, 5, methods))
    costs = rng.lognormal(0, 0.7, methods)
    for dataset, setting in DATA[:datasets]:
        classes = 100 if dataset == "cifar100" else 10
        counts = np.round(500 * 0.01 ** (np.arange(classes) / (classes - 1))).astype(int)
        groups = np.select([counts < 20, counts <= 100], ["few", "med"], "many")
        paired = rng.normal(0, 1, seeds)
        for number, method in enumerate(names(methods)):
            for run in range(seeds):
                base = 28 + 45 * (np.log(counts) - np.log(5)) / np.log(100) + quality[number] * (1 + (groups == "few"))
                share = np.clip(base + paired[run] + rng.normal(0, 0.8) + rng.normal(0, 3, classes), 0, 100) / 100
                right = rng.binomial(100, share)
                key = f"{dataset}-{number}-{run}"
                seconds = 60 * costs[number] * rng.uniform(0.97, 1.03)
                for group in GROUPS:
                    at = groups == group if group != "all" else np.full(classes, True)
                    rows.append({
                        "key": key, "dataset": dataset, "setting": setting, "protocol": PROTOCOL, "method": method,
                        "seed": run, "group": group, "classes": int(at.sum()), "value": float(right[at].mean()),
                        **COMPLETE, "device_seconds": seconds,
                    })  # fmt: skip
                evidence[key] = Evidence(
                    counts=tuple(map(int, counts)), tests=(100,) * classes, right=tuple(map(int, right)),
                    classes=tuple(f"class {place}" for place in range(classes)), groups=tuple(map(str, groups)),
                    values={"training.lr": 0.1}, course="a Monday",
                    curve=tuple((epoch, float(2.3 / epoch)) for epoch in range(1, 21)),
                )  # fmt: skip
    return PageContent("a board", pd.DataFrame(rows, columns=list(COLUMNS)), evidence, ["A note."], versus,
                       shots=(20, 100))  # fmt: skip
