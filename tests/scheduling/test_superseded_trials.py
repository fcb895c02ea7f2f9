"""A process that was taken for dead and lives on writes nothing that matters; a driver without a cluster ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from small_spec import SMALL
from tailboard.harness.scheduling import cluster_monitor
from tailboard.harness.scheduling.cluster_monitor import ClusterMonitor
from tailboard.harness.scheduling.stop_signal import FolderStopSignal, StopSignal, now_and_then
from tailboard.harness.scheduling.worker import run_job
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.files import STALE_PART_SECONDS
from tailboard.harness.storage.repair import sweep_up
from tailboard.harness.storage.store import Store
from tailboard.harness.training.failures import timeout_record
from tailboard.harness.training.job import Job
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import TrialContext, TrialMoved, run_trial

RAW = SMALL | {"training": {"epochs": 3, "batch_size": 64}}
TRIAL = plan(parse(RAW))[0]


def files(store: Store) -> dict[str, bytes]:
    return {f"{folder}/{name}": store.read(f"{folder}/{name}") for folder in ("records", "arrays", "checkpoints")
            for name in store.names(folder)}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("checkpoint_seconds", [0, 1000])
def test_who_finds_its_trial_finished_by_another_leaves_all_as_it_is(tmp_path, after, checkpoint_seconds):
    store, setting = Store(tmp_path / "one"), TrialContext(str(tmp_path / "one"), checkpoint_seconds=checkpoint_seconds)
    run_trial(Job.of(TRIAL), TrialContext(str(tmp_path / "other")))
    then = files(Store(tmp_path / "other"))

    def finished_by_another(line):
        if line["epoch"] == after:
            # By another process: this one may not open the arrays while a method runs.
            subprocess.run(["cp", "-R", f"{tmp_path}/other/.", f"{tmp_path}/one"], check=True)
            store.remove(f"checkpoints/{TRIAL.key}.pt")

    with pytest.raises(TrialMoved):
        run_trial(Job.of(TRIAL), setting, finished_by_another)
    assert files(store) == then
    assert not store.names("checkpoints")
    assert run_job(Job.of(TRIAL), setting, lambda _: None, lambda: StopDecision.CONTINUE)
    assert files(store) == then


@pytest.mark.parametrize("after", [1, 3])
def test_who_has_lost_its_trial_to_another_writes_no_more(tmp_path, after):
    """Told after so many epochs; the last time it asks is before it writes what came out."""
    store, asked = Store(tmp_path), []

    def should_stop():
        asked.append(1)
        return StopDecision.MOVED if len(asked) == after else StopDecision.CONTINUE

    with pytest.raises(TrialMoved):
        run_trial(Job.of(TRIAL), TrialContext(str(tmp_path), checkpoint_seconds=1000), should_stop=should_stop)
    assert files(store) == {}


def test_a_record_is_written_once_and_one_that_was_stopped_early_may_go_on(tmp_path):
    store = Store(tmp_path)
    store.write_record(timeout_record(TRIAL, "first"))
    store.write_record(timeout_record(TRIAL, "second"))
    assert store.record(TRIAL.key).reason == "first"
    store.write(f"records/{TRIAL.key}.json", store.read(f"records/{TRIAL.key}.json")[:30])
    store.write_record(timeout_record(TRIAL, "third"))
    assert store.record(TRIAL.key).reason == "third", "half a record is none"
    early = timeout_record(TRIAL, "").model_copy(
        update={"status": "pruned", "counts": (1,), "accuracy": {"last_ema": (50.0,)}}
    )
    store.write(f"records/{TRIAL.key}.json", early.model_dump_json().encode())
    store.write_record(timeout_record(TRIAL, "fourth"))
    assert store.record(TRIAL.key).reason == "fourth"


def test_the_next_run_takes_away_the_checkpoints_of_what_is_finished(tmp_path):
    store = Store(tmp_path)
    store.write_record(timeout_record(TRIAL, "it broke"))
    for name in (TRIAL.key, "another"):
        store.write(f"checkpoints/{name}.pt", b"x")
    sweep_up(store, frozenset())
    assert store.names("checkpoints") == {"another.pt"}


def test_the_next_run_takes_away_what_was_half_written_when_its_process_was_killed(tmp_path):
    store = Store(tmp_path)
    store.write("arrays/a.npz", b"whole")
    old, new = (store.path(f"arrays/.{name * 32}.part") for name in "ab")
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, time.time() - 2 * STALE_PART_SECONDS))
    sweep_up(store, frozenset())
    assert not old.exists() and new.exists(), "what another process may be writing stays"
    assert store.names("arrays") == {"a.npz"}


@pytest.mark.parametrize("kind", [StopSignal, FolderStopSignal])
def test_a_flag_tells_who_has_lost_its_trial(tmp_path, kind):
    flag = kind(tmp_path) if kind is FolderStopSignal else kind()
    assert flag.should_stop("a", "1") is StopDecision.CONTINUE, "of what it does not know it says nothing"
    flag.assign("a", "1")
    assert flag.should_stop("a", "1") is StopDecision.CONTINUE
    flag.assign("a", "2")
    assert flag.should_stop("a", "1") is StopDecision.MOVED
    flag.stop()
    assert flag.should_stop("a", "2") is StopDecision.DRAIN
    assert flag.should_stop("a", "1") is StopDecision.MOVED


def test_where_the_driver_s_folder_is_gone_so_is_its_run_and_a_full_disk_ends_none(tmp_path):
    flag = FolderStopSignal(tmp_path / "signal")
    flag.assign("a", "1")
    flag.stop()
    assert flag.should_stop("a", "1") is StopDecision.MOVED


def test_what_a_full_disk_does_not_take_sends_nobody_away(tmp_path, monkeypatch):
    flag = FolderStopSignal(tmp_path)
    flag.assign("a", "1")

    def full(self, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    flag.assign("a", "2")
    assert flag.should_stop("a", "2") is StopDecision.CONTINUE


def test_a_question_is_put_once_a_second():
    answers, now = iter([StopDecision.CONTINUE, StopDecision.DRAIN]), [5.0]
    asked = now_and_then(lambda: next(answers), clock=lambda: now[0])
    assert asked() is asked() is StopDecision.CONTINUE
    now[0] += 0.5
    assert asked() is StopDecision.CONTINUE
    now[0] += 0.5
    assert asked() is asked() is StopDecision.DRAIN


def test_a_driver_whose_cluster_is_gone_is_interrupted_and_one_whose_cluster_is_there_is_not(monkeypatch, request):
    monkeypatch.setattr(cluster_monitor, "TRY_SECONDS", 0.05)
    monkeypatch.setattr(cluster_monitor, "MISSED", 12)  # as in a run: a busy machine may answer late
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest runs in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    stopping, told = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as other:
        with ClusterMonitor(stopping, told.append) as monitor:
            monitor.watch([there.getsockname()[:2]])
            time.sleep(1)
        assert not stopping.is_set() and not told
        with pytest.raises(ZeroDivisionError), ClusterMonitor(stopping, told.append):
            raise ZeroDivisionError
        with ClusterMonitor(stopping, told.append) as monitor:
            monitor.watch([there.getsockname()[:2], other.getsockname()[:2]])
            other.close()
            time.sleep(60)
            pytest.fail("it was not interrupted")
    assert stopping.is_set()
    assert len(told) == 1 and "the cluster is lost" in told[0]
