"""One MLflow run for each row of the report, at the top of its page, and under it the runs of the row's trials."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any

from .mlflow_runs import COMMIT, KEY, PARENT, ROLE, ROLES, ROW, SPEC, MlflowRuns
from .table_rows import TableRow, measured_numbers

VIEW = "mlflow.sharedViewState.tailboard-table"  # a saved view of the experiment, as MLflow's page writes it
COLUMNS = [f"test/{name}" for name in ("all", "all_stderr", "all_ci95_low", "all_ci95_high")]
GROUPS = [f"test/{name}" for name in ("few", "med", "many")]
ENDED = {"complete": "FINISHED", "n/a": "FINISHED", "failed": "FAILED"}  # else seeds are missing: KILLED


class RowRuns:
    """The runs of the rows of one spec. What is told twice is there once, and what MLflow has costs no request."""

    def __init__(self, runs: MlflowRuns, until: float) -> None:
        """Looks once at every run of the store.

        Args:
            runs: Those of the spec and its trials.
            until: When it is too late for one more request, on the clock of ``time.monotonic``.
        """
        self._runs, self._client, self._until, self._left = runs, runs.client, until, ""
        found = list(runs.found())
        self._commit = next((run.data.tags.get(COMMIT) for run in found if run.info.run_id == runs.parent), None)
        self._trials = {run.data.tags[KEY]: run for run in found if KEY in run.data.tags}
        self._under: dict[str, dict[str, Any]] = defaultdict(dict)  # by a run's id those of the trials that it groups
        for trial in self._trials.values():
            self._under[trial.data.tags.get(PARENT, "")][trial.info.run_id] = trial
        self._there: dict[str, list[Any]] = {}  # by identity; where an answer was lost, a row may have two
        for run in found:
            if run.data.tags.get(ROLE) == ROLES["row"] and run.data.tags.get(SPEC) == runs.spec.name:
                self._there.setdefault(run.data.tags.get(ROW, ""), []).append(run)

    def offer_view(self, rows: Sequence[TableRow]) -> None:
        """A saved view of the experiment with the columns of the table, the best mean first; whoever changed it there
        keeps it.

        Args:
            rows: Of the report; a group of which none has a number is no column.
        """
        experiment = self._client.get_experiment(self._runs.experiment)
        if VIEW in experiment.tags:
            return
        groups = [name for name in GROUPS if not all(math.isnan(row.metrics.get(name, math.nan)) for row in rows)]
        metrics = [f"metrics.`{name}`" for name in [*COLUMNS, *groups, "train_seconds"]]
        shown = {
            "searchFilter": f"tags.`{ROLE}` = '{ROLES['row']}'", "orderByKey": metrics[0], "orderByAsc": False,
            "startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "datasetsFilter": [],
            "selectedColumns": metrics,
        }  # fmt: skip
        now = int(time.time() * 1000)
        view = {"name": "Leaderboard", "createdAt": now, "updatedAt": now, "state": json.dumps(shown)}
        self._client.set_experiment_tag(experiment.experiment_id, VIEW, json.dumps(view))

    def tell(self, rows: Sequence[TableRow]) -> None:
        """Write the rows of which a trial has ended, and remove those that the report does not have.

        Args:
            rows: Of the report.

        Raises:
            TimeoutError: where the server is slow; what was told so far stays, and the next time goes on from there.
        """
        told, commits = set(), set()
        for number, row in enumerate(rows):
            self._left = f"{len(rows) - number} rows of the table are still to be told"
            trials = [self._trials[key] for key in row.keys if key in self._trials]
            if trials:
                told.add(self._tell(row, trials))
                commits |= {trial.data.tags.get(COMMIT) for trial in trials}
        self._left = "rows that the report does not have are still to be removed"
        self._remove_others(told)
        if len(commits) == 1 and (commit := commits.pop()) and commit != self._commit:
            self._client.set_tag(self._runs.parent, COMMIT, commit)

    def _remove_others(self, told: Collection[str]) -> None:
        for run in (run for same in self._there.values() for run in same if run.info.run_id not in told):
            if run.data.tags[ROW].endswith("/defaults"):  # only a run or report --with-defaults shows it
                continue
            self._adopt(list(self._under[run.info.run_id].values()), self._runs.parent)
            self._in_time()
            self._runs.remove(run)

    def _in_time(self) -> None:
        if time.monotonic() > self._until:
            raise TimeoutError(f"it is slow: {self._left}")

    def _tell(self, row: TableRow, trials: Sequence[Any]) -> str:
        params = _shared([trial.data.params for trial in trials])
        params.pop("seed", None)  # of a row that has one so far
        tags = row.words | {"status": row.status, "reason": row.reason[:5000]}
        tags |= _shared([{COMMIT: trial.data.tags.get(COMMIT, "")} for trial in trials])
        run = self._run(row, params) or self._made(row, tags, trials)
        self._write(run, row, params, tags)
        if len(trials) == len(row.keys) and (data := self._data(run, trials)):  # what is logged once stays
            self._in_time()
            self._client.log_inputs(run.info.run_id, data)
        if run.info.run_name != row.name[:250]:
            self._in_time()
            self._client.update_run(run.info.run_id, name=row.name[:250])
        self._end(run, ENDED.get(row.status, "KILLED"), trials)
        self._adopt([trial for trial in trials if trial.data.tags.get(SPEC) == self._runs.spec.name], run.info.run_id)
        return run.info.run_id

    def _write(self, run: Any, row: TableRow, params: dict[str, str], tags: dict[str, str]) -> None:
        """What of its numbers and words MLflow lacks, in one request."""
        known, entities, now = run.data, self._runs.entities, int(time.time() * 1000)
        metrics = [entities.Metric(n, v, now, 0) for n, v in measured_numbers(row.metrics, known.metrics).items()]
        new = [entities.Param(name, value) for name, value in params.items() if name not in known.params]
        said = [entities.RunTag(name, value) for name, value in tags.items() if value != known.tags.get(name, "")]
        if metrics or new or said:
            self._in_time()
            self._runs.log(run.info.run_id, metrics, new, said)

    def _end(self, run: Any, status: str, trials: Sequence[Any]) -> None:
        """It ended with the last of its trials."""
        end = max((trial.info.end_time for trial in trials if trial.info.end_time), default=None)
        if run.info.status != status or end not in (None, run.info.end_time):
            self._in_time()
            self._client.set_terminated(run.info.run_id, status, end_time=end)

    def _run(self, row: TableRow, params: dict[str, str]) -> Any | None:
        """The row's run; None where there is none, or one of other values, as a search that went on may have found:
        parameters stay as they are."""
        there = self._there.get(row.identity, [])
        same = sorted(there, key=lambda run: (not self._under[run.info.run_id], run.info.start_time))
        fits = (run for run in same if all(run.data.params.get(name, v) == v for name, v in params.items()))
        return next(fits, None)

    def _made(self, row: TableRow, tags: dict[str, str], trials: Sequence[Any]) -> Any:
        self._in_time()
        tags = {name: value for name, value in tags.items() if value}
        tags |= {SPEC: self._runs.spec.name, ROLE: ROLES["row"], ROW: row.identity, "stage": "report"}
        return self._runs.new(tags, row.name, at=min(trial.info.start_time for trial in trials) / 1000)

    def _adopt(self, trials: Iterable[Any], parent: str) -> None:
        for trial in trials:
            before, run_id = trial.data.tags.get(PARENT, ""), trial.info.run_id
            if before != parent:
                self._in_time()
                self._client.set_tag(run_id, PARENT, parent)
                trial.data.tags[PARENT] = parent
                self._under[parent][run_id] = self._under[before].pop(run_id)

    def _data(self, run: Any, trials: Sequence[Any]) -> list[Any]:
        """What its trials were trained on, as one data set; nothing where the run has it.

        Each seed has a subset of its own: the digest of several is the hash of theirs.
        """
        every = {each.dataset.digest: each for trial in trials for each in _inputs(trial)}
        if not every or _inputs(run):
            return []
        (data, *others), entities = every.values(), self._runs.entities
        digest = sha256("\n".join(sorted(every)).encode()).hexdigest()[:36] if others else data.dataset.digest
        same = {name: getattr(data.dataset, name) for name in ("name", "source_type", "source", "profile")}
        return [entities.DatasetInput(entities.Dataset(digest=digest, **same), data.tags)]


def _inputs(run: Any) -> list[Any]:
    return list(run.inputs.dataset_inputs) if run.inputs else []


def _shared(words: Sequence[dict[str, str]]) -> dict[str, str]:
    """What all of them say alike."""
    first, *others = words
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
