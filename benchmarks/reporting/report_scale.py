"""``tailboard report`` on synthetic records: seconds and peak memory of the command, by the number of records.

    .venv/bin/python benchmarks/reporting/report_scale.py [records] [folder]

Measured on 2 cores of an AMD EPYC, nothing else at work, one run of each, wall seconds (user, system) and peak memory:

    records     with the index                     without, which writes it
    100,000     3.3 s (2.8, 0.6), 0.36 GiB         6.3 s (4.7, 1.7), 0.70 GiB, records just written
    1,000,000   27.0 s (19.9, 6.9), 1.72 GiB       143.9 s (63.5, 44.6), 2.26 GiB, records read from the disk

That was on 24 November 2026; later the 100,000 took 4.35 s with the index. Since then what rows share
is asked once: under a load of 15, in turns, three times each, 4.69 s of the processor in place of 6.80 (medians; ratio
0.69). And since then a report is made of columns from the index to the CSV: under a load of 18, in turns, twice each,
3.10 s of the processor in place of 4.71 (means; ratio 0.66), of which 1.6 s are imports, and 0.28 GiB in place of 0.36.
That was before the CSV's numbers were again written by Python's own repr, and before the index had the machines: with
both it took 2.71 and 2.81 s of the processor under a load of 11, and 0.30 GiB.

And since then another process looks at the records of a large store while this one imports, reads the plan and hashes
its keys, and large columns hold fewer bytes. Under a load of 22, in turns, twice each, the 100,000 took 3.42 s of both
processes in place of 3.27 of one (means), and 0.27 GiB in place of 0.29. The million took 11.3 s (user) and 5.7 s
(system) of both under a load of 20, one run, and 0.96 GiB; after that the names of the records' files became columns in
pieces, with which it was not measured again.
On the quiet machine the million then took 14.17 s (10.17, 5.19) and 1.03 GiB with the index, and 109.95 s (81.12,
50.05) and 1.04 GiB without, read from the disk.

And since then no record is an object longer than its columns need it, the disk is asked for 64 of them at a time, what
looks at a store imports nothing heavy, and memory is given back before the table is written. One record, warm, costs 24
microseconds of the processor in place of 41. Under a load of 4, one run each, the million took 13.15 s (8.64, 3.51) and
0.86 GiB with the index; without it 60.92 s (27.48, 11.56) and 1.04 GiB where the records had been read minutes before,
and 87.84 s (35.03, 27.16), a little earlier, where they had not. On the quiet machine, one run each, read from the
disk (its cache was dropped before): the million took 9.49 s (8.60, 4.14) and 0.86 GiB with the index, 57.07 s (32.57,
32.55) and 1.04 GiB without; the 100,000 1.62 s (1.71, 0.51) and 0.25 GiB, and 5.65 s (4.79, 3.34) and 0.27 GiB.

Beside other work (load 3) the million took 28.6 to 34.8 s with the index. Ten times the records take 9.7 times the
seconds once the 0.9 s of imports are taken off. Each cell has five seeds, so that the table has 800,000 lines. Of the
27 s, 4.5 go into asking the file system whether each record is still that of the index, 3 into writing the CSV. A run
leaves the index; only a store that was filled without one is read record by record.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial, experiments
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "`report` on 100,000 records",
        "1.6 s, 0.25 GiB",
        "",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "`report` on 1,000,000 records, a table of 800,000 cells",
        "9.5 s, 0.86 GiB",
        "1000000",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "the same where no run left an index, read from the disk",
        "57 s, 1.04 GiB",
        "1000000",
        "2 quiet cores of an AMD EPYC",
    ),
)

TAILBOARD = Path(sys.executable).with_name("tailboard")


def main(records: str = "100000", folder: str = "") -> None:
    """In a folder that is named the records stay, and are not written again."""
    say_load()
    with tempfile.TemporaryDirectory() as passing:
        place = Path(folder or passing)
        if not Path(place, "records").exists():
            write(Store(place), int(records))
        Path(place, "index.npz").unlink(missing_ok=True)
        for words in ("without an index, which it writes", "with the index"):
            seconds, peak, lines = measured(place)
            print(f"{records} records, {words}: {seconds}; {peak:.2f} GiB peak, {lines} lines of CSV", flush=True)


def measured(place: Path) -> tuple[str, float, int]:
    """Of one report: its seconds, GiB at the peak, and lines."""
    file = place / "out.csv"
    command = ["/usr/bin/time", "-f", "%e s (%U user, %S system) %M", str(TAILBOARD), "report", str(place)]
    done = subprocess.run([*command, "--format", "csv", "-o", str(file)], check=True, capture_output=True, text=True)
    seconds, _, kib = done.stderr.strip().splitlines()[-1].rpartition(" ")
    return seconds, int(kib) / 2**20, len(file.read_text().splitlines())


def write(store: Store, records: int) -> None:
    """Five seeds of five methods on as many imbalance factors as it takes. Of each row one record is made as a run
    makes it; those of its other seeds are the same text with their own key, seed, split and accuracies."""
    factors = [1 + i / 100 for i in range(records // 25)]
    spec = parse({
        "name": "synthetic",
        "data": [{"name": "cifar10", "imbalance_factor": factors}],
        "methods": ["ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW"],
    })  # fmt: skip
    store.write_plan(spec)
    rng = np.random.default_rng(0)
    for folder in ("records", "tracked"):
        Path(store.root, folder).mkdir(exist_ok=True)
    for row in experiments(spec):
        trial = row.trial(spec.seeds[0])
        first = recorded(trial, rng)
        text = first.model_dump_json()
        for seed, key in zip(spec.seeds, trial.keys(spec.seeds), strict=True):
            own = json.dumps(list(rng.uniform(0, 100, 10)), separators=(",", ":"))
            known = json.dumps(first.accuracy["last"], separators=(",", ":"))
            # Without Store.write's fsync, which is not measured.
            Path(store.root, "records", f"{key}.json").write_text(
                text.replace(trial.key, key)
                .replace(f'"seed":{trial.seed},', f'"seed":{seed},')
                .replace(_cut(trial, trial.seed), _cut(trial, seed))
                .replace(known, own)
            )
            Path(store.root, "tracked", key).touch()  # MLflow has it: the report need not fill it in


def _cut(trial: Trial, seed: int) -> str:
    """What stands for the hash of a split."""
    return f"{trial.data.imbalance_factor:032.2f}{seed:032}"


def recorded(trial: Trial, rng: np.random.Generator) -> Record:
    accuracy = tuple(rng.uniform(0, 100, 10))
    return Record(
        key=trial.key,
        trial=trial,
        status="complete",
        counts=long_tail(trial.data, 0),
        test_counts=(1000,) * 10,
        accuracy={"last_ema": accuracy, "last": accuracy},
        data=Provenance(verified=True, hashes={"data_batch_1": "0" * 32}, fingerprint=_cut(trial, trial.seed)),
        environment={"commit": "0" * 40, "packages": {"torch": "2"}, "processor": "synthetic"},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
