"""Wall time of ``tailboard run`` over the sum of its trials' training seconds divided by the slots.

What lies between the two: starting Python, Ray and the workers, loading data, scoring, records, MLflow, the report.

    .venv/bin/python benchmarks/scheduling/sweep_overhead.py [trials] [epochs]

Measured on 2 cores of a shared Xeon, no GPU, one run, on 2 slots, nine methods' worth of trials (45): trials of 22.2 s,
547 s over 499 s, ratio 1.096. About 12 s of the difference are start and end of the command, whatever the number of
trials.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.storage.store import Store

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "wall time of `run` over its trials' training seconds",
        "1.096 (45 trials of 22 s on 2 slots)",
        "",
        "2 cores of a shared Xeon",
    ),
)

TAILBOARD = Path(sys.executable).with_name("tailboard")
SLOTS = 2
SPEC = """
name: overhead
data: [{{name: fashion-mnist-mini, imbalance_factor: 100}}]
methods: [ERM]
network: small
training: {{epochs: {epochs}, batch_size: 64}}
seeds: {trials}
"""


def main(trials: int = 45, epochs: int = 65) -> None:
    say_load()
    with tempfile.TemporaryDirectory() as folder:
        spec, store = Path(folder, "overhead.yaml"), Path(folder, "store")
        spec.write_text(SPEC.format(trials=trials, epochs=epochs))
        start = time.perf_counter()
        subprocess.run(
            [TAILBOARD, "run", spec, "--store", store, "--slots", str(SLOTS)], check=True, stdout=subprocess.DEVNULL
        )
        wall = time.perf_counter() - start
        seconds = [Store(store).record(key).train_seconds for key in Store(store).finished()]
    ideal = sum(seconds) / SLOTS
    print(f"{trials} trials of {sum(seconds) / trials:.1f} s on {SLOTS} slots: {wall:.0f} s over {ideal:.0f} s")
    print(f"ratio {wall / ideal:.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
