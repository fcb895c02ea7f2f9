"""The numbers of the README and of docs/results, from the stores that gave them.

    .venv/bin/python benchmarks/documents/published_numbers.py NAME STORE [PLAN]   # docs/results/NAME.json, then blocks
    .venv/bin/python benchmarks/documents/published_numbers.py              # every block, from the summaries there are

A summary holds what a report of the store is made of: the tidy rows, the sentences of its caption, its other tables,
the losses, on which machine it ran, and the SHA-256 of the bundle that ``tailboard export`` makes of the store. PLAN is
a file with what ``tailboard plan NAME --calibrate`` printed before the run. Of a benchmark that writes a table of its
own (``docs/results/benchmarks/NAME.json``) the block is ``lines``. A block
in a document is ``<!-- numbers: NAME KIND -->`` to ``<!-- end -->``; what stands between is written by the functions of
KINDS, with the code that renders reports. tests/test_published_numbers.py renders every block again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tailboard.harness.bundles.export import export
from tailboard.harness.metrics.rescoring import parse_metric
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.natural_frequencies import with_further_metrics
from tailboard.harness.reporting.report import Report
from tailboard.harness.spec.schema import Trial
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.leaderboard.formats.markdown import markdown
from tailboard.leaderboard.metric import ACCURACY
from tailboard.leaderboard.results import COLUMNS, NOTES, ROW, mean_notes
from tailboard.leaderboard.statistics.paired import paired
from tailboard.leaderboard.tables.differences import verdict
from tailboard.leaderboard.tables.grid import Table, plus_minus
from tailboard.leaderboard.tables.report_tables import View

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
BENCHMARKS = RESULTS / "benchmarks"  # tables that benchmarks wrote
HOURS = re.compile(r"^about ([\d.]+) device-hours .*?(?:the searches before it about ([\d.]+) more)?$", re.MULTILINE)
BLOCK = re.compile(r"(<!-- numbers: ([a-z0-9-]+) (.+?) -->)(\n?)(.*?)(<!-- end -->)", re.DOTALL)
TUNING = ("Tuning", "Importance")  # how the titles of its tables begin
BETWEEN_RUNS = 300.0  # seconds in which no trial was under way: nobody waited for a result then
ACTED = ("ceiling", "accepted", "filled")  # of M2m's notes; its classes' own shares are in the summary


def documents() -> list[Path]:
    """Where blocks may stand."""
    return [ROOT / "README.md", *sorted(RESULTS.glob("*.md"))]


# From a store to its summary.


def summary_of(store: Store) -> dict[str, Any]:
    """What the documents quote of a store; plain values only.

    Raises:
        StoreError: where there is no store. ValueError where its bundle would not hold.
    """
    (spec,) = store.plans()
    report = with_further_metrics(partial(gather, [store]), [store])
    records = [store.record(key) for key in sorted(store.finished())]
    complete = [record.trial for record in records if record.status == "complete"]
    rows = report.rows[[*COLUMNS, *ROW, NOTES]]
    columns = {name: _plain(rows[name]) for name in rows}
    differing = {name for name, values in columns.items() if len(set(map(str, values))) > 1} | {"value"}
    shared = {name: values[0] for name, values in columns.items() if name not in differing}
    return {
        "command": f"tailboard run {spec.name}",
        "protocol": spec.protocol,
        "made": _made(records),
        "bundle": bundle_of(store),
        "shared": shared,
        "rows": {name: values for name, values in columns.items() if name not in shared},
        "notes": report.notes,
        "balanced": report.metric == ACCURACY,
        "examples": report.metric.examples,
        "further": _further(report),
        "last": _of_last_weights(store, report),
        "tables": [asdict(table) | {"emphasis": []} for table in report.tables],
        "losses": _losses(store, report.rows, complete),
    }


def _further(report: Report) -> dict[str, list[Any]]:
    """By each further metric what the rows of the group ``all`` have, in their order."""
    return {metric.label: _plain(rows["value"]) for rows, metric in report.measured}


def _of_last_weights(store: Store, report: Report) -> list[Any]:
    """What the rows of the group ``all`` have, in their order, by the last weights in place of their moving average;
    nothing of a report that tells of no trial's last weights."""
    records = (store.record(key) for key in sorted(store.finished()))
    if not any("last" in record.accuracy for record in records):
        return []
    rows = gather([store], rescore=parse_metric(ACCURACY.name, "test", 0.0, "last")).rows
    if list(rows["key"]) != list(report.rows["key"]):
        raise ValueError("the rows by the last weights are others")
    return _plain(rows["value"][rows["group"] == "all"])


def _plain(column: pd.Series) -> list[Any]:
    return [None if isinstance(value, float) and np.isnan(value) else value for value in column.astype(object).tolist()]


def _made(records: list[Record]) -> dict[str, Any]:
    """Where and when the trials were trained: each word as often as it differs among them."""
    environments = [record.environment for record in records]
    words = ("commit", "processor", "instruction_set", "device", "python")
    made: dict[str, Any] = {word: sorted({str(each.get(word, "")) for each in environments} - {""}) for word in words}
    made["torch"] = sorted({each["packages"]["torch"] for each in environments})
    spans = sorted(
        (datetime.fromisoformat(r.started), datetime.fromisoformat(r.finished)) for r in records if r.started
    )
    begun = until = spans[0][0]
    gaps = []
    for start, end in spans:
        gaps.append((start - until).total_seconds())
        until = max(until, end)
    between = [gap for gap in gaps if gap > BETWEEN_RUNS]
    seconds = (until - begun).total_seconds() - sum(between)
    return made | {"begun": begun.isoformat(), "seconds": seconds} | ({"runs": 1 + len(between)} if between else {})


def bundle_of(store: Store) -> dict[str, Any]:
    """The SHA-256 and the bytes of the bundle that ``tailboard export`` makes of a store. ValueError where it would not
    hold."""
    with tempfile.TemporaryDirectory() as folder:
        goal = Path(folder) / "bundle.zip"
        if wrong := export(store, goal):
            raise ValueError(f"the bundle of {store} would not hold: {wrong[0]}")
        data = goal.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _losses(store: Store, rows: pd.DataFrame, trials: list[Trial]) -> dict[str, dict[str, float]]:
    """The mean training loss over seeds of each method, at half, three quarters, seven eighths, fifteen sixteenths and
    the end of its epochs (from 1)."""
    methods = rows.drop_duplicates("key").set_index("key")["method"].to_dict()
    found: dict[str, dict[int, list[float]]] = {str(method): {} for method in dict.fromkeys(methods.values())}
    for trial in trials:
        if trial.key not in methods:
            continue
        losses = store.arrays(trial.key, "history_").get("history_loss", np.zeros(0))
        for share in (1 / 2, 3 / 4, 7 / 8, 15 / 16, 1):
            epoch = round(share * trial.training.epochs)
            if epoch <= len(losses):
                found[str(methods[trial.key])].setdefault(epoch, []).append(float(losses[epoch - 1]))
    return {method: {str(e): round(float(np.mean(v)), 4) for e, v in each.items()} for method, each in found.items()}


# From a summary to the text of a block.


@dataclass(frozen=True)
class Numbers:
    """A summary, read back."""

    raw: dict[str, Any]

    @property
    def rows(self) -> pd.DataFrame:
        rows, shared = self.raw["rows"], self.raw["shared"]
        table = pd.DataFrame(rows | {name: [value] * len(rows["value"]) for name, value in shared.items()})
        return table[[*COLUMNS, *ROW, NOTES]].astype({"value": float, "device_seconds": float})

    @property
    def view(self) -> View:
        """What the values are: accuracies on test sets of which all are balanced, or of which one is not."""
        metric = ACCURACY if self.raw.get("balanced", True) else ACCURACY.unbalanced
        return View(metric=replace(metric, examples=self.raw.get("examples", "images")))

    @property
    def tables(self) -> list[Table]:
        return [_table(raw) for raw in self.raw["tables"]]


def _table(raw: dict[str, Any]) -> Table:
    spans = tuple((span, tuple(groups)) for span, groups in raw["spans"])
    footnotes, caption, head = (tuple(raw[name]) for name in ("footnotes", "caption", "head"))
    return Table(raw["title"], spans, tuple(map(tuple, raw["body"])), footnotes, caption, head)


def report(numbers: Numbers, words: str) -> str:
    """All that ``tailboard report`` says; ``without tuning`` what was searched and found is left out."""
    more = [table for table in numbers.tables if not words or table.title.split(" of ")[0] not in TUNING]
    return markdown(numbers.rows, notes=numbers.raw["notes"], more=more, view=numbers.view).strip()


def table(numbers: Numbers, _: str) -> str:
    """The table of the means, and what footnotes mark in it."""
    _, grid, remarks = markdown(numbers.rows, view=numbers.view).split("\n\n")[:3]
    marked = [line for line in remarks.split("\n") if re.match("- [⁰¹²³⁴⁵⁶⁷⁸⁹]", line)]
    return "\n\n".join([grid, *(["\n".join(marked)] if marked else [])])


def versus(numbers: Numbers, method: str) -> str:
    """The table of the differences from a method."""
    return markdown(numbers.rows, versus=method, view=numbers.view).strip().split("### ")[-1].split("\n\n")[1]


def difference(numbers: Numbers, words: str) -> str:
    """Of two methods in All, as a phrase: ``METHOD from METHOD``, or ``METHOD from METHOD by METRIC``, a further."""
    compared, _, metric = words.partition(" by ")
    method, _, reference = compared.partition(" from ")
    rows = numbers.rows
    if metric:
        rows = rows[rows["group"] == "all"].assign(value=numbers.raw["further"][metric])
    cells = paired(rows, reference)
    (cell,) = cells[(cells["method"] == method) & (cells["group"] == "all")].itertuples()
    return verdict(cell)


def made(numbers: Numbers, _: str) -> str:
    """The sentences that say how the numbers came about."""
    about, bundle = numbers.raw["made"], numbers.raw["bundle"]
    commits = "commit" + "s" * (len(about["commit"]) > 1) + " " + ", ".join(each[:7] for each in about["commit"])
    machines = ", ".join(about["processor"])
    apart = f" of {about['runs']} runs, without the time between them," if "runs" in about else ""
    versions = f"Python {', '.join(about['python'])}, torch {', '.join(about['torch'])}"
    return (
        f"`{numbers.raw['command']}`, protocol {numbers.raw['protocol']}, at {commits}, begun "
        f"{about['begun'][:10]}, {took(numbers, '')} from the first trial to the last{apart} on {machines} "
        f"({', '.join(about['instruction_set'])}, {', '.join(about['device'])}; {versions}). Its bundle has "
        f"{bundle['bytes']:,} bytes and the SHA-256 `{bundle['sha256']}`."
    )


def took(numbers: Numbers, _: str) -> str:
    minutes, seconds = divmod(round(numbers.raw["made"]["seconds"]), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def planned(numbers: Numbers, _: str) -> str:
    """What a plan that was calibrated said beforehand, and how many minutes of two cores that is."""
    hours = numbers.raw["planned"]
    words = [
        f"{hours[0]:g} device-hours",
        *(f" for the rows and {each:g} for the searches before them" for each in hours[1:]),
    ]
    return f"{''.join(words)}, which is {60 * sum(hours) / 2:.0f} minutes on two cores"


def lines(numbers: Numbers, _: str) -> str:
    """The table that a benchmark wrote."""
    return _grid(numbers.raw["head"], numbers.raw["lines"])


def losses(numbers: Numbers, _: str) -> str:
    """The mean training loss by epoch."""
    methods = {method: each for method, each in numbers.raw["losses"].items() if each}
    epochs = list(dict.fromkeys(epoch for each in methods.values() for epoch in each))
    lines = [[method, *(f"{each[e]:.3f}" if e in each else "–" for e in epochs)] for method, each in methods.items()]
    return _grid(["Loss after epoch", *epochs], lines)


def acted(numbers: Numbers, _: str) -> str:
    """How far M2m acted in each row that has it: the shares of its notes, and of each class that it generated for."""
    first = numbers.rows.drop_duplicates("key")
    lines = []
    for method, texts in first.groupby("method", sort=False)["notes"]:
        notes = mean_notes(texts)
        if "mixer.accepted" in notes:
            each = [f"{value:.2f}" for name, value in notes.items() if name.startswith("mixer.accepted_")]
            shares = [f"{notes[f'mixer.{name}']:.2f}" for name in ACTED]
            lines.append([str(method), *shares, f"{notes['half_lives']:.1f}", " ".join(each)])
    return _grid(["Method", *(name.title() for name in ACTED), "Half-lives", "Accepted, by class"], lines)


def averaging(numbers: Numbers, _: str) -> str:
    """What scoring the moving average in place of the last weights changes in All, paired by seed; and how many
    half-lives of the average follow the switch of a row that has one."""
    rows = numbers.rows[numbers.rows["group"] == "all"].assign(last=numbers.raw["last"])
    lines = []
    for method, trials in rows.groupby("method", sort=False):
        notes = mean_notes(trials["notes"])
        averaged, last = (trials[name].to_numpy(float) for name in ("value", "last"))
        texts = [_mean(averaged), _mean(last), _mean(last - averaged, sign="+").replace("-", "−")]
        lines.append([str(method), *texts, f"{notes['half_lives']:.1f}" if "half_lives" in notes else "–"])
    return _grid(["Method", "Averaged (scored)", "Last", "Last minus averaged", "Half-lives since the switch"], lines)


def _mean(values: np.ndarray, sign: str = "") -> str:
    return plus_minus(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5), sign=sign)


def _grid(head: list[str], lines: list[list[str]]) -> str:
    rule = [":---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


KINDS: dict[str, Callable[[Numbers, str], str]] = {
    each.__name__: each
    for each in (report, table, versus, difference, made, took, planned, lines, losses, acted, averaging)
}


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Of each block in a text its summary's name, its words, and what stands in it."""
    for _, name, words, _, inner, _ in BLOCK.findall(text):
        yield name, words, inner


def rendered(text: str) -> str:
    """The text with every block written anew whose summary is there; the others stay, and say themselves of which
    earlier protocol they are. KeyError where a kind is none."""

    def anew(match: re.Match[str]) -> str:
        start, name, words, line, _, end = match.groups()
        kind, _, rest = words.partition(" ")
        file = next((each for each in (RESULTS / f"{name}.json", BENCHMARKS / f"{name}.json") if each.exists()), None)
        if file is None:
            return match[0]
        numbers = Numbers(json.loads(file.read_text(encoding="utf-8")))
        return f"{start}{line}{KINDS[kind](numbers, rest)}{line}{end}"

    return BLOCK.sub(anew, text)


def main() -> None:
    if len(sys.argv) > 2:
        name, store, *plans = sys.argv[1:]
        said = [HOURS.search(Path(file).read_text(encoding="utf-8")) for file in plans]
        hours = {"planned": [float(each) for found in said if found for each in found.groups() if each]} if said else {}
        summary = summary_of(Store(store)) | hours
        text = json.dumps(summary, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        (RESULTS / f"{name}.json").write_text(text.replace('],"', '],\n"') + "\n", encoding="utf-8")
        if name not in {each for file in documents() for each, *_ in blocks(file.read_text(encoding="utf-8"))}:
            print(f"no document quotes {name} yet: write a block such as <!-- numbers: {name} report --> <!-- end -->")
    for document in documents():
        document.write_text(rendered(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
