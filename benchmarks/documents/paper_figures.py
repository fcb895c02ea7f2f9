"""docs/results/figures.md and its pictures, from the stores of the mini forms of the paper's figures.

    tailboard run fig12-mini --store STORES/fig12-mini        # and any other mini form, into a store in this folder
    .venv/bin/python benchmarks/documents/paper_figures.py STORES       # the page and its pictures anew

What was not run is named on the page. A figure is that of ``tailboard figure``; when a store was filled stands in its
records.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from tailboard.harness.reporting.figures.request import FigureRequest
from tailboard.harness.reporting.figures.study import StudyFigure, study_figure
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


def section(spec: Spec, store: Store, pictures: Path) -> str:
    """What the page says of a study; its picture is written.

    Raises:
        ValueError: where the picture is too large for the repository.
    """
    asked = FigureRequest.of(spec)
    assert asked is not None  # noqa: S101  (for the type checker)
    drawn = study_figure(store, asked)
    picture = pictures / f"{spec.name}.svg"
    drawn.write(picture)
    if picture.stat().st_size > LARGEST:
        raise ValueError(f"{picture} has {picture.stat().st_size:,} bytes, more than the {LARGEST:,} of a picture")
    records = [store.record(trial.key) for trial in plan(spec)]
    parts = [
        f"## {spec.name}",
        f"The paper: {spec.figure.claim}" if spec.figure else "",
        f"![{spec.name}](figures/{picture.name})",
        claims(drawn),
        " ".join(["" if asked.converged else reached(store, records), took(records), *drawn.data.notes]).strip(),
        f"`tailboard run {spec.name}`",
    ]
    return "\n\n".join(filter(None, parts))


def claims(drawn: StudyFigure) -> str:
    """The claims as a table."""
    rows = [
        {"panel": c.panel, "claim": c.claim, "verdict": c.verdict or f"no word: {c.reason}",
         "effect": f"{c.effect:+.3g} {c.unit}", "n": c.n,
         "95% interval": "–" if np.isnan(c.low) else f"{c.low:+.3g} to {c.high:+.3g}"}
        for c in drawn.data.claims
    ]  # fmt: skip
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)) if rows else ""


def reached(store: Store, records: list[Record]) -> str:
    """The accuracy on the training images at the end, where it was followed."""
    ends = [
        store.arrays(each.key, "history_").get("history_train_accuracy", np.array([np.nan]))[-1] for each in records
    ]
    if np.isnan(ends).any():
        return ""
    known = " to ".join(dict.fromkeys(f"{end(ends):.1f}" for end in (min, max)))
    return f"At the end the trainings know {known} percent of their training images."


def took(records: list[Record]) -> str:
    """The time in which one was under way, beside whatever else ran, that of the training alone, and the processors."""
    spans = sorted(tuple(map(datetime.fromisoformat, (each.started, each.finished))) for each in records)
    seconds, until = 0.0, spans[0][0]
    for start, end in spans:  # figures share trials, some of which were trained hours before
        seconds += max((end - max(start, until)).total_seconds(), 0.0)
        until = max(until, end)
    training = sum(each.train_seconds for each in records)
    processors = {str(each.environment["processor"]) for each in records}
    return (
        f"{len(records)} trials took {seconds / 60:.1f} minutes, and {training / 60:.1f} minutes of training, on "
        f"{', '.join(sorted(processors))}."
    )


def main() -> None:
    """Write the page."""
    folder, pictures = Path(sys.argv[1]), RESULTS / "figures"
    pictures.mkdir(exist_ok=True)
    parts, left = [HEAD.rstrip()], []
    for name in (name for name in shipped() if name.startswith("fig") and name.endswith("-mini")):
        spec, store = read(name), store_of(name, folder)
        if store is None or spec.figure is None:
            left.append(f"`{name}`")
        else:
            parts.append(section(spec, store, pictures))
    if left:
        parts.append(f"## Not run\n\nThese were planned and not run for this page: {', '.join(left)}.")
    (RESULTS / "figures.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
