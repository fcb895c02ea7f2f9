"""``tailboard verify``: whether every number of a bundle follows from what is in it, its table included, and if not,
which.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ...datasets.catalog import DataError
from ...leaderboard.results import CELL
from ...methods.names import read_as
from ...methods.registry import registry
from ..errors import BundleError, StoreError, first_fault
from ..planning.reported import judges, trials_of
from ..registry.datasets import cut_of
from ..reporting import gather
from ..spec.schema import Spec, Trial
from ..storage import paths
from ..storage.record import Record
from ..tuning.results import search_results
from .bundle import Bundle
from .manifest import EnvironmentCounts, keys
from .record_checks import Mismatch, accuracies, matrix, noted, recompute_accuracies, words
from .search_checks import searched
from .split_checks import SeedDuplicates, SplitConsistency

ROUNDING = 1e-9  # percent: means and errors are sums, which other versions of pandas may round otherwise
WRONG = (StoreError, FileNotFoundError, DataError, ValueError, KeyError, csv.Error)  # what hostile words lead to


def verify(bundle: Bundle, images: SplitConsistency | None = None) -> list[Mismatch]:
    """All that does not hold; nothing where every number does.

    Every file is that of the manifest; every record is of a planned trial, with its key; every accuracy is that of the
    stored predictions, bit for bit; every search chose what its trials say; the table is that of the predictions.
    ``bundle.recomputed`` holds those accuracies afterwards. Predictions that were made up whole are found only by
    training again (see ``rerun.py``). BundleError where the manifest cannot be read.
    """
    return list(_differences(bundle, images or SplitConsistency()))


def _differences(bundle: Bundle, images: SplitConsistency) -> Iterator[Mismatch]:
    manifest = bundle.manifest()
    bundle.recomputed.clear()
    yield from _files(bundle, manifest.files)
    try:
        specs = bundle.plans()
        results = [search_results(spec, bundle, importance=False) for spec in specs]
        known = [trial for spec, rows in zip(specs, results, strict=True) for trial in trials_of(spec, rows)]
        trials = {trial.key: trial for trial in (*known, *judges(known))}
        plans = {spec.name: keys(spec, bundle) for spec in specs}
    except WRONG as error:
        yield Mismatch("plans", "plan", "one that can be read", reason(error))
        return
    yield from _compared("plans", "names", sorted(bundle.names(*paths.PLANS)), sorted(spec.name for spec in specs))
    yield from _compared(paths.MANIFEST, "plans", manifest.plans, plans)
    yield from _plugins(bundle, specs)
    records, tally = [], EnvironmentCounts()
    for key in sorted(bundle.finished()):
        record, differences = _record(bundle, paths.record(key), key, trials)
        yield from differences
        if record:
            tally.add(record)
            records.append((cut_of(record.trial), key))
    yield from _compared(paths.MANIFEST, "environments", list(manifest.environments), list(tally.environments))
    yield from _compared(paths.MANIFEST, "code", manifest.code, tally.code)
    twins = SeedDuplicates()
    for _, key in sorted(records):
        yield from _predictions(bundle, bundle.record(key), images, twins)
    for name in sorted(bundle.names(*paths.RUNGS)):
        yield from _rung(bundle, name, trials)
    yield from _strays(bundle, specs, [key for _, key in records])
    for spec, rows in zip(specs, results, strict=True):
        for result in rows.values():
            yield from searched(bundle, spec, result)
    yield from table(bundle)


def _files(bundle: Bundle, claimed: Mapping[str, str]) -> Iterator[Mismatch]:
    there = set(bundle.files_inside()) - {paths.MANIFEST}
    for name in sorted(there | set(claimed)):
        if name not in there:
            yield Mismatch(name, "file", f"SHA-256 {claimed[name]}", "no such file")
            continue
        try:
            digest = hashlib.sha256(bundle.read(name)).hexdigest()
        except StoreError as error:
            digest = str(error)
        if digest != claimed.get(name):
            yield Mismatch(name, "SHA-256", claimed.get(name, "no such file"), digest)


def _compared(file: str, field: str, claimed: Any, recomputed: Any) -> Iterator[Mismatch]:
    """Field by field, as far down as both have the same fields."""
    if isinstance(claimed, Mapping) and isinstance(recomputed, Mapping):
        for name in sorted({*claimed, *recomputed}):
            yield from _compared(file, f"{field}.{name}", claimed.get(name, "nothing"), recomputed.get(name, "nothing"))
    elif isinstance(claimed, list | tuple) and isinstance(recomputed, list | tuple) and len(claimed) == len(recomputed):
        for number, (one, other) in enumerate(zip(claimed, recomputed, strict=True)):
            yield from _compared(file, f"{field}[{number}]", one, other)
    elif claimed != recomputed:
        yield Mismatch(file, field, str(claimed), str(recomputed))


def _plugins(bundle: Bundle, specs: Sequence[Spec]) -> Iterator[Mismatch]:
    texts = {digest: text for spec in specs for digest, text in spec.plugins.items()}
    for spec in specs:
        for digest, text in spec.plugins.items():
            if (found := hashlib.sha256(text.encode()).hexdigest()) != digest:
                yield Mismatch(paths.plan(spec.name), f"plugins.{digest}", digest, found)
        for name in dict.fromkeys(method.name for method in spec.methods if method.plugin):
            ours = all(term.strip() in registry() for term in name.split("+"))
            if not ours and (other := read_as(name, registry())):
                yield Mismatch(paths.plan(spec.name), "methods", name, f"a plugin's name that reads like {other}")
    for digest in sorted(texts.keys() | bundle.names(*paths.PLUGINS)):
        name = paths.plugin(digest)
        if digest not in texts:
            yield Mismatch(name, "plugin", "one of a plan", "of no plan")
        elif not bundle.has(name) or bundle.read(name) != texts[digest].encode():
            yield Mismatch(name, "text", "that of its plan", "another, or none")


def _record(bundle: Bundle, name: str, key: str, trials: Mapping[str, Trial]) -> tuple[Record | None, list[Mismatch]]:
    """A record that is what its name says, and what is wrong with its words."""
    try:
        record = Record.model_validate_json(bundle.read(name))
    except (ValidationError, StoreError) as error:
        return None, [Mismatch(name, "record", "one that can be read", reason(error))]
    if not record.key == key == record.trial.key:
        return None, [Mismatch(name, "key", key, f"{record.key}, with a trial whose words hash to {record.trial.key}")]
    if key not in trials:
        return record, [Mismatch(name, "trial", "one of a plan", "of no plan")]
    try:
        return record, list(words(record))
    except DataError as error:
        why = f"{error}; where a package registers it, install that and verify again"
        return record, [Mismatch(name, "trial.data", record.trial.data.name, why)]


def _rung(bundle: Bundle, name: str, trials: Mapping[str, Trial]) -> Iterator[Mismatch]:
    """Of the epochs in its name; and where the trial ended with it, what the predictions of its record come to."""
    file, key = paths.rung_named(name), name.partition("-")[0]
    rung, differences = _record(bundle, file, key, trials)
    yield from differences
    if rung is None:
        return
    yield from matrix(rung, file)
    if (rung.status, f"{key}-{rung.epochs:04d}") != ("pruned", name):
        yield Mismatch(file, "epochs", name.partition("-")[2], f"{rung.status} after {rung.epochs}")
    if key in bundle.recomputed and (last := bundle.record(key)).epochs == rung.epochs:
        yield from _compared(file, "accuracy", rung.accuracy, last.accuracy)


def _predictions(bundle: Bundle, record: Record, images: SplitConsistency, twins: SeedDuplicates) -> Iterator[Mismatch]:
    name, labels, arrays = paths.arrays(record.key), None, {}
    for other in sorted(set(record.files) - {name}):
        yield Mismatch(paths.record(record.key), "files", other, f"{name} is the only one that it may name")
    try:
        digest = hashlib.sha256(bundle.read(name)).hexdigest() if record.files or bundle.has(name) else ""
        if digest != record.files.get(name, ""):
            yield Mismatch(paths.record(record.key), f"files.{name}", record.files.get(name, "none"), digest)
        if record.status in ("complete", "pruned"):
            read = bundle.arrays(record.key)
            recomputed = recompute_accuracies(record, read)
            arrays, labels = read, read["labels"]
            yield from accuracies(record, recomputed, read)
            yield from noted(record, read) if record.status == "complete" else ()
            bundle.recomputed[record.key] = recomputed
    except (StoreError, FileNotFoundError, ValueError) as error:
        yield Mismatch(name, "predictions", f"those of {paths.record(record.key)}", reason(error))
    yield from images.differences(record, labels)
    yield from twins.differences(record, arrays)


def _strays(bundle: Bundle, specs: Sequence[Spec], keys: Sequence[str]) -> Iterator[Mismatch]:
    """Files that nothing else speaks of."""
    named = {paths.arrays(key) for key in keys}
    named |= {path(spec.name) for path in (paths.searches, paths.studies) for spec in specs if spec.tune}
    for name in bundle.files_inside():
        if paths.is_in(name, paths.ARRAYS, paths.SEARCHES, paths.CONFIGURATIONS) and name not in named:
            yield Mismatch(name, "file", "one of a plan or a record", "of none")


def require(bundle: Bundle, images: SplitConsistency | None = None) -> None:
    """Check a bundle before it is read.

    Args:
        bundle: What is checked.
        images: What other bundles of the report were said to be scored on.

    Raises:
        BundleError: with the first difference, where it does not hold.
    """
    if found := verify(bundle, images):
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise BundleError(f"{bundle} does not hold: {found[0]}{more}; tailboard verify {bundle} says all")


def table(bundle: Bundle) -> Iterator[Mismatch]:
    """Each cell that is not what its trials come to."""
    try:
        claimed = _cells(bundle.read(paths.TABLE).decode())
        recomputed = _cells(gather.gather([bundle]).without_costs("csv"))
    except WRONG as error:
        yield Mismatch(paths.TABLE, "table", "one that can be made", reason(error))
        return
    for cell in dict.fromkeys([*claimed, *recomputed]):
        if cell not in claimed or cell not in recomputed:
            yield Mismatch(
                paths.TABLE,
                ", ".join(cell),
                *("a row" if cell in cells else "no row" for cells in (claimed, recomputed)),
            )
            continue
        for name in dict.fromkeys([*claimed[cell], *recomputed[cell]]):
            said, is_ = claimed[cell].get(name, "no column"), recomputed[cell].get(name, "no column")
            if not _same(said, is_):
                yield Mismatch(paths.TABLE, f"{', '.join(cell)}: {name}", said or "nothing", is_ or "nothing")


def _cells(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text), strict=True, restval="", restkey="beside the columns"))
    cells = {tuple(str(row.get(name, "")) for name in CELL): {n: str(v) for n, v in row.items()} for row in rows}
    if len(cells) != len(rows):
        raise ValueError("two rows of one cell")
    return cells


def _same(left: str, right: str) -> bool:
    if left == right:
        return True
    try:
        return math.isclose(float(left), float(right), rel_tol=0, abs_tol=ROUNDING)
    except ValueError:
        return False


def reason(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, ValidationError):
        return first_fault(error)
    return " ".join(str(error).split())
