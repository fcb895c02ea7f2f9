"""docs/results/figures.md, its pictures and the summary beside them, from the stores of the mini forms.

    tailboard run fig12-mini --store STORES/fig12-mini        # and any other mini form, into a store in this folder
    .venv/bin/python benchmarks/documents/paper_figures.py STORES       # the page and its pictures anew

What was not run is named on the page. A figure is that of ``tailboard figure``; when a store was filled stands in its
records.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from published_numbers import bundle_of

from tailboard.harness.reporting.figures.request import FigureRequest
from tailboard.harness.reporting.figures.study import study_figure
from tailboard.harness.spec.parser import read, shipped
from tailboard.harness.spec.schema import Spec, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
LARGEST = 100_000  # bytes of a picture
HEAD = """# The paper's figures in their mini forms

Each mini form is a shipped spec on real data: `tailboard run NAME` trains it, `tailboard figure` draws it anew from its
records. A verdict is about this data, this network and this routine (`docs/figures.md` says how it is come to), and
nothing about the paper's scale. This page and its pictures are written by `benchmarks/documents/paper_figures.py`.
"""


def store_of(name: str, folder: Path) -> Store | None:
    """The store below a folder in which every trial of a plan is complete, if there is one."""
    keys = {trial.key for trial in plan(read(name))}
    for path in sorted(each for each in folder.iterdir() if (each / "plans" / f"{name}.json").is_file()):
        store = Store(str(path))
        if all(store.result(key).status == "complete" for key in keys & store.finished()) and keys <= store.finished():
            return store
    return None


def summary_of(spec: Spec, store: Store, pictures: Path) -> dict[str, Any]:
    """What the page says of a study; plain values only. Its picture is written.

    Raises:
        ValueError: where the picture is too large for the repository, or the store's bundle would not hold.
    """
    asked = FigureRequest.of(spec)
    assert asked is not None  # noqa: S101  (for the type checker)
    drawn = study_figure(store, asked)
    picture = pictures / f"{spec.name}.svg"
    drawn.write(picture)
    if picture.stat().st_size > LARGEST:
        raise ValueError(f"{picture} has {picture.stat().st_size:,} bytes, more than the {LARGEST:,} of a picture")
    records = [store.record(trial.key) for trial in plan(spec)]
    return {
        "paper": spec.figure.claim if spec.figure else "",
        "picture": hashlib.sha256(picture.read_bytes()).hexdigest(),
        "claims": [asdict(claim) for claim in drawn.data.claims],
        "notes": list(drawn.data.notes),
        "reached": [] if asked.converged else reached(store, records),
        "bundle": digest_of(str(store)),
        "trials": len(records),
        "seconds": under_way(records),
        "training_seconds": round(sum(each.train_seconds for each in records), 1),
        "processors": sorted({str(each.environment["processor"]) for each in records}),
    }


@cache
def digest_of(place: str) -> str:
    """The SHA-256 of a store's bundle, which several figures share."""
    return str(bundle_of(Store(place))["sha256"])


def reached(store: Store, records: list[Record]) -> list[float]:
    """The accuracies on the training images at the end, least and largest; nothing where they were not followed."""
    ends = [
        store.arrays(each.key, "history_").get("history_train_accuracy", np.array([np.nan]))[-1] for each in records
    ]
    return [] if np.isnan(ends).any() else [float(min(ends)), float(max(ends))]


def under_way(records: list[Record]) -> float:
    """The seconds in which at least one trial was under way, beside whatever else ran."""
    spans = sorted((datetime.fromisoformat(each.started), datetime.fromisoformat(each.finished)) for each in records)
    seconds, until = 0.0, spans[0][0]
    for start, end in spans:  # figures share trials, some of which were trained hours before
        seconds += max((end - max(start, until)).total_seconds(), 0.0)
        until = max(until, end)
    return seconds


# From the summaries to the page.


def page(summaries: Mapping[str, Any]) -> str:
    """The whole page."""
    together = (
        f"Each trial trained once, all of them took {summaries['seconds'] / 60:.0f} minutes of two cores, beside "
        "whatever else ran; what a figure takes alone stands below it."
    )
    parts = [HEAD.rstrip(), together, *(section(name, told) for name, told in summaries["studies"].items())]
    if summaries["not run"]:
        left = ", ".join(f"`{name}`" for name in summaries["not run"])
        parts.append(f"## Not run\n\nThese were planned and not run for this page: {left}.")
    return "\n\n".join(parts) + "\n"


def section(name: str, told: Mapping[str, Any]) -> str:
    """What the page says of a study."""
    parts = [
        f"## {name}",
        f"The paper: {told['paper']}" if told["paper"] else "",
        f"![{name}](figures/{name}.svg)",
        claims(told["claims"]),
        " ".join([*known(told["reached"]), took(told), *told["notes"]]),
        f"`tailboard run {name}`; the store's bundle has the SHA-256 `{told['bundle'][:16]}…`.",
    ]
    return "\n\n".join(filter(None, parts))


def claims(told: Sequence[Mapping[str, Any]]) -> str:
    """The claims as a table."""
    rows = [
        {"panel": c["panel"], "claim": c["claim"], "verdict": c["verdict"] or f"no word: {c['reason']}",
         "effect": f"{c['effect']:+.3g} {c['unit']}", "n": c["n"],
         "95% interval": "–" if c["low"] is None else f"{c['low']:+.3g} to {c['high']:+.3g}"}
        for c in told
    ]  # fmt: skip
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)) if rows else ""


def known(ends: Sequence[float]) -> list[str]:
    """How well the training images were known at the end."""
    spread = " to ".join(dict.fromkeys(f"{end:.1f}" for end in ends))
    return [f"At the end the trainings know {spread} percent of their training images."] if ends else []


def took(told: Mapping[str, Any]) -> str:
    """The time, the training alone, and the processors."""
    return (
        f"{told['trials']} trials took {told['seconds'] / 60:.1f} minutes, and {told['training_seconds'] / 60:.1f} "
        f"minutes of training, on {', '.join(told['processors'])}."
    )


def plain(value: Any) -> Any:
    """As JSON has it: no NaN."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def main() -> None:
    """Write the summaries, the pictures and the page."""
    folder, pictures = Path(sys.argv[1]), RESULTS / "figures"
    pictures.mkdir(exist_ok=True)
    summaries: dict[str, Any] = {"studies": {}, "not run": []}
    records: dict[str, Record] = {}
    for name in (name for name in shipped() if name.startswith("fig") and name.endswith("-mini")):
        spec, store = read(name), store_of(name, folder)
        if store is None:
            summaries["not run"].append(name)
        else:
            summaries["studies"][name] = plain(summary_of(spec, store, pictures))
            records |= {trial.key: store.record(trial.key) for trial in plan(spec)}
    summaries["seconds"] = under_way(list(records.values()))
    (pictures / "summary.json").write_text(json.dumps(summaries, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "figures.md").write_text(page(summaries), encoding="utf-8")


if __name__ == "__main__":
    main()
