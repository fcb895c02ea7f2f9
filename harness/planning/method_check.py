"""Methods are built once on random images before anything trains: parts that clash are told now, not after an hour.

A process in which test labels may be, as after a report, runs no method: another one does it, started for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ...datasets.lock import has_read_labels, locked
from ...methods.part import MethodError
from ..registry.datasets import dataset_of
from ..registry.methods import recipe_of
from ..spec.schema import Trial
from ..training.learners.contract import check_honoured


def check_methods(trials: Sequence[Trial], plugins: Mapping[str, str]) -> None:
    """Build the method of each trial.

    Args:
        trials: One of each method.
        plugins: The text of each plugin that they are made of, by its SHA-256.

    Raises:
        MethodError: at the first name or value that cannot be had, or parts that clash. What else a method does wrong
            is its trial's to record, with the traceback.
    """
    if not has_read_labels():
        for trial in trials:
            _check(trial, plugins)
        return
    asked = {"trials": [trial.model_dump(mode="json") for trial in trials], "plugins": dict(plugins)}
    command = [sys.executable, "-P", "-m", __name__]  # -P: a file beside the user's spec is none of our modules
    done = subprocess.run(  # noqa: S603
        command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=False, process_group=0
    )
    if done.stdout:
        raise MethodError(json.loads(done.stdout))


def _check(trial: Trial, plugins: Mapping[str, str]) -> None:
    from ..testing.dry_run import dry_run, table_dry_run

    with locked():
        made = recipe_of(trial, plugins)
    try:
        with locked():
            if trial.training.learner == "images":
                check_honoured(made, "images")
                dry_run(made)
            else:
                about = dataset_of(trial.data)
                counts = tuple(max(3, 24 >> place) for place in range(len(about.classes)))
                table_dry_run(made, trial, counts, about.columns)
    except MethodError as error:
        where = "" if trial.training.learner == "images" else f" on {trial.network}"
        raise MethodError(f"{trial.method.name}{where}: {error}") from error
    except Exception:  # noqa: S110  (see above)
        pass


def main() -> None:
    """Read the trials from stdin; stdout gets the message of a MethodError, and nothing that a method prints."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        asked = json.load(sys.stdin)
        try:
            check_methods([Trial.model_validate(trial) for trial in asked["trials"]], asked["plugins"])
        except MethodError as error:
            json.dump(str(error), answer)


if __name__ == "__main__":
    main()
