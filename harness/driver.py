"""The driver of a run: the one process that prepares it, fills Ray with its trials and shows how far they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from .. import UserError
from ..datasets.files import roots
from .errors import ClusterError
from .monitoring.reporter import ProgressReporter
from .planning.prepare import prepare, write_plan
from .planning.request import RunRequest
from .reporting.reported_store import SearchedPlan
from .scheduling.home_folder import usable_home
from .scheduling.processes import ended_by_sigterm
from .scheduling.run import execute
from .storage import paths
from .storage.lease import only_driver
from .storage.store import Store
from .tracking.background import Tracker
from .tuning.results import RunStorage

__all__ = ["RunRequest", "Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """What came of a call of :func:`train`: whether a signal stopped it, and the plan with what its searches found."""

    interrupted: bool
    plan: SearchedPlan
    tracked: bool  # whether MLflow could be told of the trials


def train(
    request: RunRequest,
    store: Store,
    *,
    slots: int | None = None,
    address: str | None = None,
    root: str | Path | None = None,
    verify: bool = True,
    say: Callable[[str], None] | None = None,
    quiet: bool = False,
) -> Trained:
    """Train what is missing in a store.

    Args:
        request: What of a spec is to be done.
        store: Where it is kept.
        slots, address, root, verify: As in :func:`tailboard.run`.
        say: What is told to the user in lines; to stderr if not given.
        quiet: Show no progress.

    Returns:
        What came of it; where a signal stopped it before the end, the same call goes on.

    Raises:
        ClusterError: where so many trials at a time are not possible. UserError: where it is not called from the main
            thread; else what :func:`tailboard.run` raises, but for KeyboardInterrupt after a first signal.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError("training is started from the main thread, since a signal must be able to drain it")
    if slots is not None and slots < 1:
        raise ClusterError(f"slots: {slots} trials at a time are not possible; 1 or more, or None to fill the machine")
    store.require_shared()
    if request.spec.figure:
        from .reporting.figures.study import check_axes  # imports pandas

        check_axes(request.spec)
    console = Console(stderr=True, quiet=quiet)
    say = say or (lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
    for remark in request.remarks:
        say(remark)
    checking = console.status("checking the spec and its data ...") if console.is_terminal else nullcontext()
    if data := os.environ.get("TAILBOARD_DATA"):  # workers run in other folders
        os.environ["TAILBOARD_DATA"] = str(roots(Path(data))[0].resolve())
    with ended_by_sigterm(), usable_home(), only_driver(store), RunStorage(store) as storage:
        with checking:
            prepared = prepare(request, store, storage, Path(root).expanduser().resolve() if root else None, verify)
        for message in prepared.damaged:
            say(f"{message}; moved to damaged/, and its trial runs again where it is still needed")
        tracker = Tracker(request.spec, store, prepared.trials)
        with ProgressReporter(console, prepared, tracker) as show:
            interrupted = execute(prepared, show, slots, address)
        if not interrupted:  # its workers have ended: what one that was killed had begun to write is nobody's
            store.clear_parts(paths.CHECKPOINTS[0], seconds=0)
        if not store.has(paths.plan(request.spec.name)):
            write_plan(request, store)
            again = "the plan is written again, and the same command trains what is gone"
            say(f"{store} was deleted while it was filled: {again}")
        away = tracker.close()
        results = storage.results(request.plan.searches)
    if away:
        say(away)
    return Trained(interrupted, SearchedPlan(request.spec, results), not away)
