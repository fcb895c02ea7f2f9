"""``tailboard report`` on synthetic records: seconds and peak memory of the command, by the number of records.

    .venv/bin/python benchmarks/report_scale.py [records]

Measured on 2 cores of a shared Xeon, no GPU, one run: 100,000 records in 8.9 s with 0.64 GiB at the peak.

On 2 cores of an AMD EPYC that others used at the same time (nice 19, load 7; so processor seconds, user and system, of
one run each, read from a disk whose cache did not hold them): 100,000 records 10.4 s and 0.66 GiB, 1,000,000 records
145 s and 4.6 GiB (226 s before a record was read by the short way and without Python's collector of cycles). Ten
times the records took 14 times as long: 11 times in user seconds, 25 times in the system's, which fetches a million
small files. The bound that was set, 30 s and 2 GiB for a million, is not kept. Of 100,000 (9.3 s in one process), the
plan's trials and their keys take 1.7 s, reading, checking and making rows of the records 4.3 s, imports 1.9 s, the
summary and its CSV 0.9 s.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tailboard.harness.record import Provenance, Record
from tailboard.harness.spec import plan
from tailboard.harness.specfile import parse
from tailboard.harness.store import Store

TAILBOARD = Path(sys.executable).with_name("tailboard")


def main(records: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Store(folder), records)
        start = time.perf_counter()
        subprocess.run([TAILBOARD, "report", folder, "--format", "csv", "-o", f"{folder}/out.csv"], check=True)
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        lines = len(Path(folder, "out.csv").read_text().splitlines())
    print(f"{records} records: {wall:.1f} s, {peak:.2f} GiB peak, {lines} lines of CSV")


def write(store: Store, records: int) -> None:
    """Five seeds of five methods on as many imbalance factors as it takes."""
    factors = [1 + i / 100 for i in range(records // 25)]
    spec = parse({
        "name": "synthetic",
        "data": [{"name": "cifar10", "imbalance_factor": factors}],
        "methods": ["ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW"],
    })  # fmt: skip
    store.write_plan(spec)
    rng = np.random.default_rng(0)
    for trial in plan(spec):
        accuracy = tuple(rng.uniform(0, 100, 10))
        record = Record(
            key=trial.key,
            trial=trial,
            status="complete",
            counts=(5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 15),
            test_counts=(1000,) * 10,
            accuracy={"last_ema": accuracy, "last": accuracy},
            data=Provenance(verified=True, hashes={"data_batch_1": "0" * 32}, fingerprint="0" * 64),
            environment={"commit": "0" * 40, "packages": {"torch": "2"}, "processor": "synthetic"},
        )
        path = Path(store.root, "records", f"{trial.key}.json")  # without store.write's fsync: this is not measured
        path.parent.mkdir(exist_ok=True)
        path.write_text(record.model_dump_json())
        marker = Path(store.root, "tracked", trial.key)  # MLflow has it: the report need not fill it in
        marker.parent.mkdir(exist_ok=True)
        marker.touch()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
