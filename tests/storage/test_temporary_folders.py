"""Temporary folders: gone after use, and cleared up after processes that were killed."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

import pytest

from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.storage.store import Store
from tailboard.harness.storage.temporary import LONGEST, remove_stale, temporary_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandoned(folder):
    """What a process that is dead left behind."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    left = folder / f"tb-{process.pid}-x"
    left.mkdir()
    return left


def test_it_is_gone_after_use_and_after_an_error(temporary):
    with temporary_folder() as folder:
        (folder / "file").write_text("text")
    assert not folder.exists()
    with pytest.raises(ZeroDivisionError), temporary_folder() as folder:
        raise ZeroDivisionError
    assert not list(temporary.iterdir())


def test_where_sockets_lie_the_path_is_short_and_nobody_else_may_enter(temporary):
    with temporary_folder(short=True) as folder:
        assert len(str(folder)) <= LONGEST < len(str(temporary))
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_the_dead_left_is_removed_and_nothing_else(temporary):
    left, theirs = abandoned(temporary), temporary / "tb-notes-x"
    theirs.mkdir()
    with temporary_folder() as living:
        remove_stale()
        assert living.exists()
    assert theirs.exists()
    assert not left.exists()


def test_a_thread_s_number_is_no_process(temporary):
    """Numbers are used again: a thread may have that of a driver that was killed."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    left = temporary / f"tb-{thread.native_id}-x"
    left.mkdir()
    remove_stale()
    done.set()
    thread.join()
    assert thread.native_id != os.getpid()
    assert not left.exists()


def test_a_folder_that_somebody_still_writes_to_goes_once_they_stop(temporary):
    """As an agent of Ray's does, which outlives its driver."""
    left = abandoned(temporary)

    def write():
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            with suppress(OSError):
                left.mkdir(exist_ok=True)
                (left / str(time.monotonic_ns())).touch()

    thread = threading.Thread(target=write)
    thread.start()
    remove_stale()
    thread.join()
    remove_stale()
    assert not left.exists()


def test_a_sweep_with_nothing_to_train_clears_up_too(temporary):
    from tailboard.harness.scheduling.ray_tune import run_jobs

    left = abandoned(temporary)
    run_jobs(JobQueue(Store(temporary / "store")), None, None, None)
    assert not left.exists()
