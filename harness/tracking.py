"""One MLflow run for each trial, under a parent run for the spec: the only file that imports mlflow.

MLflow mirrors the store and is never read for a result. One process writes to it: the driver, from a thread, while
trials train. What a server that was away has missed is filled in from the store by the next ``run`` or ``report``.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from .record import Record
from .rows import method_label, shot_means
from .spec import Spec, Trial
from .store import Store

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# A server that is away must not hold up the driver: give up soon, fill in later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

AWAY_SECONDS = 30.0  # how long a server that did not answer is left alone
STORE, KEY, SPEC = "tailboard.store", "tailboard.key", "tailboard.spec"


def tracking_uri(spec: Spec, store: Store) -> str:
    """Where MLflow is: the spec's uri, else MLFLOW_TRACKING_URI, else a SQLite file in a local store."""
    chosen = spec.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
    folder = Path(store.root if store.local else ".").resolve()
    return chosen or f"sqlite:///{folder / 'mlflow.db'}"


class Runs:
    """The MLflow runs of one store and spec. Every method may raise what mlflow raises when its server is away."""

    def __init__(self, spec: Spec, store: Store) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each step of a new database
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        import mlflow

        self._entities = mlflow.entities
        self.store, self.spec, self.id = store, spec, store.identity()
        uri = tracking_uri(spec, store)
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.experiment = self._experiment(uri)
        self.run_of = {
            run.data.tags[KEY]: run.info.run_id
            for run in self._search(f"tags.`{STORE}` = '{self.id}'")
            if KEY in run.data.tags
        }
        self.parent = self._parent()

    def _experiment(self, uri: str) -> str:
        name = self.spec.tracking.experiment
        found = self.client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        beside = Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts"
        # Without a server, mlflow would put artifacts into the current folder, wherever that is.
        return self.client.create_experiment(name, beside.as_uri() if uri.startswith("sqlite:///") else None)

    def _search(self, text: str) -> Iterable[Any]:
        page = None
        while True:
            found = self.client.search_runs([self.experiment], text, max_results=5000, page_token=page)
            yield from found
            page = found.token
            if not page:
                return

    def _parent(self) -> str:
        mine = f"tags.`{STORE}` = '{self.id}' and tags.`{SPEC}` = '{self.spec.name}' and tags.`tailboard.role` = 'spec'"
        for run in self._search(mine):
            return run.info.run_id
        tags = {STORE: self.id, SPEC: self.spec.name, "tailboard.role": "spec"}
        return self.client.create_run(self.experiment, tags=tags, run_name=self.spec.name).info.run_id

    def start(self, trial: Trial, at: float | None = None) -> str:
        """The trial's run, begun if it is not there yet; ``at`` in seconds since 1970."""
        if trial.key not in self.run_of:
            tags = {
                STORE: self.id,
                SPEC: self.spec.name,
                KEY: trial.key,
                "mlflow.parentRunId": self.parent,
                "dataset": trial.data.name,
                "method": method_label(trial),
                "seed": str(trial.seed),
                "stage": trial.stage,
            }
            name = f"{method_label(trial)}, {trial.data.name}, seed {trial.seed}"
            start = int((at or time.time()) * 1000)
            run = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=name[:250])
            self.run_of[trial.key] = run.info.run_id
        return self.run_of[trial.key]

    def epochs(self, trial: Trial, lines: list[dict[str, float]]) -> None:
        """Each epoch's loss and learning rate, as they come."""
        now = int(time.time() * 1000)
        metrics = [
            self._entities.Metric(f"train/{name}", value, now, int(line["epoch"]))
            for line in lines
            for name, value in line.items()
            if name != "epoch"
        ]
        self._log(self.start(trial), metrics=metrics)

    def finish(self, record: Record) -> None:
        """All of a finished trial: parameters, whatever of the history is not there yet, results, record."""
        begun, ended = (datetime.fromisoformat(moment).timestamp() for moment in (record.started, record.finished))
        run = self.start(record.trial, at=begun)
        last = max((m.step for m in self.client.get_metric_history(run, "train/loss")), default=-1)
        metrics = self._history(record, after=last, at=int(ended * 1000))
        for name, value in self._results(record).items():
            metrics.append(self._entities.Metric(name, value, int(ended * 1000), record.epochs))
        params = [self._entities.Param(name, str(value)[:6000]) for name, value in parameters(record).items()]
        tags = [self._entities.RunTag("status", record.status), self._entities.RunTag("reason", record.reason[:5000])]
        self._log(run, metrics=metrics, params=params, tags=tags)
        self.client.log_text(run, record.model_dump_json(indent=1), "record.json")
        done = "FINISHED" if record.status == "complete" else "FAILED"
        self.client.set_terminated(run, done, end_time=int(ended * 1000))
        self.store.mark_tracked(record.key, {"run": run})

    def end(self, complete: bool) -> None:
        """Close the spec's own run: finished once nothing of the plan is left."""
        self.client.set_terminated(self.parent, "FINISHED" if complete else "KILLED")

    def _history(self, record: Record, after: int, at: int) -> list[Any]:
        if not record.files:
            return []
        arrays = self.store.arrays(record.key)
        columns = {name.removeprefix("history_"): a for name, a in arrays.items() if name.startswith("history_")}
        return [
            self._entities.Metric(f"train/{name}", float(values[i]), at, int(columns["epoch"][i]))
            for name, values in columns.items()
            if name != "epoch"
            for i in range(len(values))
            if columns["epoch"][i] > after and not math.isnan(values[i])
        ]

    def _results(self, record: Record) -> dict[str, float]:
        if record.status != "complete":
            return {}
        means = {f"test/{group}": value for group, value in shot_means(record, self.spec.shots).items()}
        return means | {"train_seconds": record.train_seconds, "wall_seconds": record.wall_seconds}

    def _log(self, run: str, metrics: list[Any], params: Any = (), tags: Any = ()) -> None:
        """A batch holds at most 1,000 metrics."""
        for start in range(0, max(len(metrics), 1), 1000):
            first = start == 0
            self.client.log_batch(run, metrics[start : start + 1000], params if first else (), tags if first else ())


def parameters(record: Record) -> dict[str, Any]:
    """What identifies a trial, flat: data, method, values, network, training, seed."""
    trial = record.trial
    flat = {f"data.{k}": v for k, v in trial.data.model_dump().items() if v is not None}
    flat |= {"method": trial.method.name, "network": trial.network, "seed": trial.seed, "stage": trial.stage}
    flat |= {f"training.{k}": v for k, v in trial.training.model_dump().items()}
    return flat | dict(record.values) | {"threads": trial.threads}


def catch_up(spec: Spec, store: Store, keys: Iterable[str]) -> str:
    """Fill in what MLflow misses of the finished trials. Returns why it could not, or nothing."""
    missing = sorted(set(keys) & store.finished() - store.tracked())
    if not missing:
        return ""
    try:
        runs = Runs(spec, store)
        for key in missing:
            runs.finish(store.record(key))
        runs.end(complete=set(keys) <= store.tracked())
    except Exception as error:  # whatever mlflow or its server raises: tracking never stops a benchmark
        return str(error).splitlines()[0]
    return ""


class Tracker:
    """A thread of the driver that writes to MLflow while trials train, and never makes them wait."""

    def __init__(self, spec: Spec, store: Store, trials: Iterable[Trial]) -> None:
        self._spec, self._store = spec, store
        self._trials = {trial.key: trial for trial in trials}
        self._queue: queue.Queue[tuple[str, str, dict[str, float]] | None] = queue.Queue()
        self._runs: Runs | None = None
        self._away_until = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def epoch(self, key: str, line: dict[str, float]) -> None:
        self._queue.put(("epoch", key, line))

    def finished(self, key: str) -> None:
        self._queue.put(("finished", key, {}))

    def close(self) -> str:
        """Write what is left and fill in what was missed. Returns why MLflow could not be reached, or nothing."""
        self._queue.put(None)
        self._thread.join()
        return catch_up(self._spec, self._store, self._trials)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            time.sleep(0.2)  # let a few gather: one request for many lines
            waiting, ended = [first], False
            while not self._queue.empty():
                item = self._queue.get()
                ended = ended or item is None
                waiting += [item] if item else []
            self._write(waiting)
            if ended:
                return

    def _write(self, waiting: list[tuple[str, str, dict[str, float]]]) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            self._runs = self._runs or Runs(self._spec, self._store)
            lines: dict[str, list[dict[str, float]]] = {}
            for kind, key, line in waiting:
                if kind == "epoch":
                    lines.setdefault(key, []).append(line)
            for key, gathered in lines.items():
                self._runs.epochs(self._trials[key], gathered)
            for kind, key, _ in waiting:
                if kind == "finished":
                    self._runs.finish(self._store.record(key))
        except Exception:  # see catch_up
            self._away_until = time.monotonic() + AWAY_SECONDS
