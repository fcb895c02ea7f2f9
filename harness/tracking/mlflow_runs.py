"""One MLflow run for each trial, one for the spec, and one for each row of the report (see ``row_runs.py``): the only
file that imports mlflow.

MLflow mirrors the store and is never read for a result. What is written twice is written once: a run is looked up
by its trial's key, and an epoch that it already has is left out.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import StoreError, TrackingError
from ..memory import uncollected
from ..metrics.shots import shot_means
from ..spec.labels import method_label, setting_label
from ..spec.schema import Spec, Trial
from ..storage.record import Record
from ..storage.sqlite import address, make_whole, path_of, require_harmless
from ..storage.store import Store
from ..storage.temporary import temporary_folder
from .empty_database import lay_out
from .uri import own_database, path_of_file, tracking_uri

SETTINGS = {  # of MLflow, where the environment does not say otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # A server that is away must not hold up the driver: give up soon, fill in later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for data
}

STORE, KEY, SPEC = "tailboard.store", "tailboard.key", "tailboard.spec"
ROLE, ROW, PARENT = "tailboard.role", "tailboard.row", "mlflow.parentRunId"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else MLflow's page opens as one for language models
COMMIT, CONTEXT = "mlflow.source.git.commit", "mlflow.data.context"
ROLES = {"spec": "spec", "tune": "tuning", "row": "row"}  # of the runs that group others


def _make_database(uri: str) -> None:
    """The tables of a SQLite file that is not there yet."""
    import mlflow

    def make(part: Path) -> None:
        mlflow.MlflowClient(tracking_uri=address(part)).search_experiments(max_results=1)

    if path := path_of(uri):
        make_whole(path, lambda part: lay_out(part, mlflow.__version__, make))


class MlflowRuns:
    """The MLflow runs of one store and spec. Every method may raise what mlflow raises when its server is away."""

    def __init__(self, spec: Spec, store: Store) -> None:
        os.environ.update(SETTINGS | os.environ)  # before MLflow is imported
        uri = tracking_uri(spec, store)
        if uri == own_database(store) and (path := path_of(uri)) and path.exists():
            require_harmless(path, f"{store}/{path.name}")
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each step of a new database
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        with uncollected():  # the client imports as much again
            import mlflow.entities

            _make_database(uri)
            self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.entities = mlflow.entities
        self.store, self.spec, self.id = store, spec, store.identity()
        self._mine = f"tags.`{STORE}` = '{self.id}'"
        self._folder = self._artifacts(uri).resolve() if uri == own_database(store) else None
        self.experiment = self._experiment(uri)
        self._run_of: dict[str, str] = {}
        self._groups: dict[str, str] = {}  # by name
        self._epochs: dict[str, dict[int, int]] = {}  # of each trial those that its run holds, with their times
        self._artifact_uris: dict[str, str] = {}  # of runs that were made here
        self._first = not self.client.search_runs([self.experiment], self._mine, max_results=1)
        store.begin_tracking(spec.name)
        self.parent = self._parent()

    def resume(self) -> None:
        """Trials of the plan are being trained: its run, killed before perhaps, is running again."""
        self.client.update_run(self.parent, "RUNNING")

    def _experiment(self, uri: str) -> str:
        name = self.spec.tracking.experiment
        experiment = self.client.get_experiment_by_name(name)
        if experiment and experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"its experiment {name!r} was deleted there: restore it (mlflow experiments restore -x "
                f"{experiment.experiment_id}), or name another in tracking.experiment"
            )
        if experiment:
            for tag, kind in KIND.items():
                if tag not in experiment.tags:  # whoever chose another keeps it
                    self.client.set_experiment_tag(experiment.experiment_id, tag, kind)
            return experiment.experiment_id
        # Without a server, mlflow would put artifacts into the current folder, wherever that is.
        return self.client.create_experiment(name, self._artifacts(uri).as_uri() if path_of(uri) else None, KIND)

    @staticmethod
    def _artifacts(uri: str) -> Path:
        """The folder beside a database's file."""
        return (path_of(uri) or Path()).parent / "mlflow-artifacts"

    def _search(self, text: str) -> Iterable[Any]:
        page = None
        while True:
            found = self.client.search_runs([self.experiment], text, max_results=5000, page_token=page)
            yield from found
            page = found.token
            if not page:
                return

    def _one(self, text: str, name: str = "") -> Any | None:
        """The run that is sought. Where an answer was lost there may be a second, made by the same request."""
        runs = [run for run in self._search(f"{self._mine} and {text}") if name in ("", run.info.run_name)]
        if len(runs) > 1:
            runs.sort(key=lambda run: (not self._has_children(run), run.info.status == "RUNNING", run.info.start_time))
        for other in runs[1:]:
            self.remove(other)
        return runs[0] if runs else None

    def _has_children(self, run: Any) -> bool:
        return bool(self.client.search_runs([self.experiment], f"tags.`{PARENT}` = '{run.info.run_id}'", max_results=1))

    def remove(self, run: Any) -> None:
        """Take away a run that is one too many."""
        self.client.set_terminated(run.info.run_id, "KILLED")
        self.client.delete_run(run.info.run_id)

    def _parent(self) -> str:
        run = self._one(self._of_role("spec"))
        return run.info.run_id if run else self._new({ROLE: ROLES["spec"]}, self.spec.name)

    def _source(self) -> dict[str, str]:
        """What made a run, as the column Source of MLflow's page shows it."""
        return {"mlflow.source.name": f"tailboard run {self.spec.name}", "mlflow.source.type": "LOCAL"}

    def start(self, trial: Trial, at: float | None = None) -> str:
        """The trial's run, begun if it is not there yet; ``at`` in seconds since 1970."""
        if trial.key not in self._run_of:
            new = self._first and not self.store.run_of(trial.key)
            run = None if new else self._one(f"tags.`{KEY}` = '{trial.key}'")
            if run and run.info.status == "KILLED":
                self.client.update_run(run.info.run_id, "RUNNING")
            self._run_of[trial.key] = run.info.run_id if run else self._create(trial, at)
            self._epochs[trial.key] = self._have(trial.key) if run else {}
        return self._run_of[trial.key]

    def _create(self, trial: Trial, at: float | None) -> str:
        tags = {
            KEY: trial.key,
            PARENT: self._group(trial),
            "dataset": trial.data.name,
            "method": method_label(trial),
            "seed": str(trial.seed),
            "stage": trial.stage,
        }
        return self._new(tags, f"{method_label(trial)}, {trial.data.name}, seed {trial.seed}", at)

    def _group(self, trial: Trial) -> str:
        """The run under which a trial's stands: the spec's, or for tuning trials one for each method."""
        if trial.stage == "report":
            return self.parent
        name = f"tuning {trial.method.name}"
        if name not in self._groups:
            there = self._one(self._of_role("tune"), name[:250])
            tags = {ROLE: ROLES["tune"], PARENT: self.parent, "method": trial.method.name, "stage": "tune"}
            self._groups[name] = there.info.run_id if there else self._new(tags, name)
            self.client.set_terminated(self._groups[name], "FINISHED")  # it only groups: nothing of it can be lost
        return self._groups[name]

    def _of_role(self, role: str) -> str:
        return f"tags.`{SPEC}` = '{self.spec.name}' and tags.`{ROLE}` = '{ROLES[role]}'"

    def _new(self, tags: dict[str, str], name: str, at: float | None = None) -> str:
        return self.new(tags, name, at).info.run_id

    def new(self, tags: dict[str, str], name: str, at: float | None = None) -> Any:
        """A new run.

        Args:
            tags: Beside those that say of which store and spec it is, and what made it.
            name: As its page calls it.
            at: When it began, in seconds since 1970; now if not given.
        """
        tags = {STORE: self.id, SPEC: self.spec.name} | self._source() | tags
        start = int((at or time.time()) * 1000)
        run = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=name[:250])
        self._artifact_uris[run.info.run_id] = run.info.artifact_uri or ""
        return run

    def _have(self, key: str) -> dict[int, int]:
        """The epochs that a run holds: a trial that was killed trains those since its checkpoint once more."""
        return {
            metric.step: metric.timestamp for metric in self.client.get_metric_history(self._run_of[key], "train/lr")
        }

    def epochs(self, trial: Trial, lines: list[dict[str, float]]) -> None:
        """Each epoch's loss and learning rate, as they come."""
        run, now = self.start(trial), int(time.time() * 1000)
        self.log(run, metrics=self._missing(trial.key, lines, now))

    def _missing(self, key: str, lines: Iterable[dict[str, float]], at: int) -> list[Any]:
        """The metrics of those epochs that the run does not hold yet; from now on it does.

        MLflow lists a history by its times, and then by its steps. An epoch that an outage kept back was over ``at``
        the latest; where a later one was told before, it gets the time of that one, so that the order is the epochs'.
        """
        metrics, held = [], self._epochs[key]
        for line in lines:
            epoch = int(line["epoch"])
            if epoch not in held:
                held[epoch] = min((time for e, time in held.items() if e > epoch), default=max([at, *held.values()]))
                metrics += [
                    self.entities.Metric(f"train/{name}", value, held[epoch], epoch)
                    for name, value in line.items()
                    if name != "epoch" and not math.isnan(value)
                ]
        return metrics

    def finish(self, record: Record) -> None:
        """All of a finished trial: parameters, whatever of the history is not there yet, results, record."""
        begun, ended = (datetime.fromisoformat(moment).timestamp() for moment in (record.started, record.finished))
        run = self.start(record.trial, at=begun)
        metrics = self._missing(record.key, self._history(record), int(ended * 1000))
        for name, value in self._results(record).items():
            metrics.append(self.entities.Metric(name, value, int(ended * 1000), record.epochs))
        params = [self.entities.Param(name, str(value)[:6000]) for name, value in parameters(record).items()]
        tags = [self.entities.RunTag("status", record.status), self.entities.RunTag("reason", record.reason[:5000])]
        if commit := record.environment.get("commit"):
            tags.append(self.entities.RunTag(COMMIT, str(commit)[:5000]))
        self.log(run, metrics=metrics, params=params, tags=tags)
        self._log_data(run, record)
        self._log_record(run, record)
        done = "FINISHED" if record.status in ("complete", "pruned") else "FAILED"
        self.client.set_terminated(run, done, end_time=int(ended * 1000))
        self.store.mark_tracked(record.key, {"run": run})
        self._epochs.pop(record.key, None)  # or a long run would hold those of all its trials
        self._run_of.pop(record.key, None)
        self._artifact_uris.pop(run, None)

    def _log_data(self, run: str, record: Record) -> None:
        """The images that it was trained on, as MLflow's page filters and groups by them."""
        if not record.data:
            return
        about = {"tailboard": record.trial.data.model_dump(mode="json", exclude_none=True)}
        data = self.entities.Dataset(
            name=f"{record.trial.data.title}, {setting_label(record.trial.data)}"[:500],
            digest=record.data.fingerprint[:36],
            source_type="tailboard",
            source=json.dumps(about)[:60_000],
            profile=json.dumps({"num_rows": sum(record.counts), "classes": len(record.counts)}),
        )
        tags = [self.entities.InputTag(CONTEXT, "training")]
        self.client.log_inputs(run, [self.entities.DatasetInput(data, tags)])

    def _log_record(self, run: str, record: Record) -> None:
        """The record as a file of its run: written where MLflow's own client would copy it, which asks it much."""
        text = record.model_dump_json(indent=1)
        if not self._folder:
            self.client.log_text(run, text, "record.json")
        elif folder := self._home(run):
            folder.mkdir(parents=True, exist_ok=True)
            Path(folder, "record.json").unlink(missing_ok=True)  # a stranger's store may have a link there
            Path(folder, "record.json").write_text(text, encoding="utf-8")

    def _home(self, run: str) -> Path | None:
        """The folder of the run's artifacts, if it lies beside the store's own database. Who handed the store on may
        have written another into it."""
        uri = self._artifact_uris.get(run)
        found = path_of_file(self.client.get_run(run).info.artifact_uri or "" if uri is None else uri)
        return found if found and self._folder and found.is_relative_to(self._folder) else None

    def found(self) -> Iterable[Any]:
        """Every run of the store."""
        return self._search(self._mine)

    def write_files(self, files: Mapping[str, bytes], until: float) -> None:
        """The files of the report, by their names, at the run of the spec.

        Args:
            files: What each holds.
            until: When it is too late to send one more, on the clock of ``time.monotonic``.

        Raises:
            TimeoutError: where the server is slow.
        """
        if self._folder and not self._home(self.parent):
            return
        with temporary_folder() as folder:
            for number, (name, content) in enumerate(files.items()):
                if time.monotonic() > until:
                    raise TimeoutError(f"it is slow: {len(files) - number} files of the report are still to be told")
                path = Path(folder, name)
                path.write_bytes(content)
                self.client.log_artifact(self.parent, str(path))

    def close(self, trials: Iterable[Trial]) -> None:
        """Nothing of the store runs any more: no run of it says so, and none is there twice."""
        finished = self.store.finished()
        done = all(trial.key in finished for trial in trials)
        for run in list(self._search(f"{self._mine} and attributes.status = 'RUNNING'")):
            if self._is_second(run):
                self.remove(run)
            else:
                self.client.set_terminated(run.info.run_id, "KILLED")
        self.client.set_terminated(self.parent, "FINISHED" if done else "KILLED")

    def _is_second(self, run: Any) -> bool:
        """Whether what it stands for has another run: the client asks again where no answer comes in time."""
        tags, known = run.data.tags, None
        if KEY in tags:
            known = self.store.run_of(tags[KEY])
        elif tags.get(SPEC) == self.spec.name and tags.get(ROLE) != ROLES["row"]:
            known = self._groups.get(run.info.run_name) if tags.get(ROLE) == ROLES["tune"] else self.parent
        return known not in (None, run.info.run_id)

    def _history(self, record: Record) -> list[dict[str, float]]:
        """The line of each epoch, as far as the store holds them beside the record."""
        try:
            arrays = self.store.arrays(record.key, "history_")
        except (StoreError, FileNotFoundError):
            return []
        sizes = {column.shape for column in arrays.values()}
        if len(sizes) != 1 or not (0,) < max(sizes) <= (record.trial.training.epochs,) or "history_epoch" not in arrays:
            return []  # not written by us
        columns = [name.removeprefix("history_") for name in arrays]
        return [dict(zip(columns, map(float, line), strict=True)) for line in zip(*arrays.values(), strict=True)]

    def _results(self, record: Record) -> dict[str, float]:
        if record.status not in ("complete", "pruned"):
            return {}
        scored = "test" if record.trial.stage == "report" else "val"
        means = {f"{scored}/{group}": value for group, value in shot_means(record, self.spec.shots).items()}
        return means | {"train_seconds": record.train_seconds, "wall_seconds": record.wall_seconds}

    def log(self, run: str, metrics: list[Any], params: Any = (), tags: Any = ()) -> None:
        """Write to a run in batches, which hold at most 1,000 metrics each.

        Args:
            run: Its id.
            metrics: MLflow's entities, as all that follows.
            params: Of the first batch.
            tags: Of the first batch.
        """
        for start in range(0, max(len(metrics), 1), 1000):
            first = start == 0
            self.client.log_batch(run, metrics[start : start + 1000], params if first else (), tags if first else ())


def parameters(record: Record) -> dict[str, Any]:
    """What identifies a trial, flat: data, method, values, network, training, seed."""
    trial = record.trial
    flat = {f"data.{k}": v for k, v in trial.data.model_dump().items() if v is not None}
    flat |= {"method": trial.method.name, "network": trial.network, "seed": trial.seed, "stage": trial.stage}
    flat |= {f"network.{k}": v for k, v in (trial.network_values or {}).items()}
    flat |= {f"training.{k}": v for k, v in trial.training.model_dump().items()}
    return flat | dict(record.values) | {"threads": trial.threads}
