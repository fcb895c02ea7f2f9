"""A store that answers with errors for a while is asked again; what will not pass is told at once; a full disk."""

import errno
import json
import random
import shutil
import subprocess
import time

import aiohttp
import pytest
from botocore import exceptions as boto
from s3fs.errors import translate_boto_error

from small_spec import SMALL
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage import retry
from tailboard.harness.storage.retry import UnreachableError, is_transient, with_retries
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial

RAW = SMALL | {"resources": {"checkpoint_seconds": 0, "retries": 0}}


def answered(code: str, number: int) -> OSError:
    """What s3fs raises where the server answers so."""
    told = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": number}}
    return translate_boto_error(boto.ClientError(told, "PutObject"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "i/o error"), OSError(errno.ESTALE, "stale"), ConnectionResetError(), TimeoutError(),
        answered("SlowDown", 503), answered("InternalError", 500), answered("502", 502), answered("Unheard", 504),
        answered("TooManyRequests", 429), boto.EndpointConnectionError(endpoint_url="http://x"),
        boto.ReadTimeoutError(endpoint_url="http://x"), boto.ConnectionClosedError(endpoint_url="http://x"),
        aiohttp.ServerDisconnectedError(),
    ],
    ids=repr,
)  # fmt: skip
def test_what_may_pass_is_tried_again(error, monkeypatch):
    monkeypatch.setattr(retry, "_PAUSE", lambda state: 0.001)
    tries, before = [], random.getstate()

    def fails_twice(answer):
        tries.append(answer)
        if len(tries) < 3:
            raise error
        return answer

    assert is_transient(error)
    assert with_retries("x", fails_twice, "done") == "done"
    assert len(tries) == 3
    assert random.getstate() == before, "a trial's random numbers are not ours to draw"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(), PermissionError(), IsADirectoryError(), OSError(errno.ENOSPC, "no space left"),
        OSError(errno.EDQUOT, "quota"), OSError(errno.EROFS, "read-only"), OSError(errno.EFBIG, "too large"),
        MemoryError(), answered("NoSuchKey", 404), answered("AccessDenied", 403), answered("Unheard", 400),
        answered("NotImplemented", 501), boto.NoCredentialsError(), ValueError(),
    ],
    ids=repr,
)  # fmt: skip
def test_what_will_not_pass_is_told_at_once(error):
    tries = []

    def fails():
        tries.append(1)
        raise error

    with pytest.raises((OSError, MemoryError)) as told:
        with_retries("s3://b/x", fails)
    assert tries == [1]
    if isinstance(error, (OSError, MemoryError)):
        assert told.value is error, "callers know it by its class"
    else:
        assert isinstance(told.value, UnreachableError) and "s3://b/x" in str(told.value)


def test_patience_ends(monkeypatch, caplog):
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.2)
    start = time.monotonic()

    def fails():
        raise TimeoutError("slow")

    with pytest.raises(UnreachableError, match=r"s3://b/x gave errors for 0 s: slow") as told:
        with_retries("s3://b/x", fails)
    assert time.monotonic() - start >= 0.2
    assert isinstance(told.value, OSError) and str(told.value).startswith("s3://b/x")
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "seconds"), [("503", 1), ("half", 1), ("drop", 4)])
def test_a_server_that_is_away_for_a_while_costs_time_only(bucket, s3, how, seconds):
    """The last for longer than s3fs tries by itself (five times within 2 s), and botocore, which is told not to."""
    store, data = Store(f"{bucket}/x"), bytes(1000)
    store.write("records/a.json", data)
    for action, expected in (
        (lambda: store.read("records/a.json"), data),
        (lambda: store.names("records"), {"a.json"}),
        (lambda: store.has("records/a.json"), True),
        (lambda: store.write("records/a.json", data), None),
    )[:: 3 if seconds > 1 else 1]:
        refused = s3.refused
        s3.break_for(seconds, how)
        assert action() == expected
        assert s3.refused > refused
        s3.broken = ""


@pytest.mark.slow
def test_a_server_that_stays_away_is_nobody_s_method(bucket, s3, monkeypatch):
    """It says neither that a file is not there, nor that the trial failed."""
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.1)
    store, trial = Store(f"{bucket}/x"), plan(parse(RAW))[0]
    with pytest.raises(UnreachableError, match="gave errors"):
        run_trial(
            Job.of(trial),
            TrialContext(str(store), checkpoint_seconds=0),
            report=lambda _: setattr(s3, "broken", "drop"),
        )
    with pytest.raises(OSError, match="gave errors"):
        store.has(f"records/{trial.key}.json")
    s3.broken = ""
    assert not store.finished()
    assert run_trial(Job.of(trial), TrialContext(str(store))).status == "complete"


@pytest.fixture
def disk(tmp_path):
    """A file system of 8 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def filled(disk, left: int) -> None:
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - left))


def test_a_full_disk_leaves_the_old_file_whole(disk):
    store = Store(disk / "store")
    store.write("checkpoints/a.pt", b"old" * 1000)
    filled(disk, 50_000)
    start = time.monotonic()
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoints/a\.pt'") as told:
        store.write("checkpoints/a.pt", bytes(1_000_000))
    assert time.monotonic() - start < retry.RETRY_SECONDS / 2, "space does not come by waiting"
    assert told.value.errno == errno.ENOSPC
    assert store.read("checkpoints/a.pt") == b"old" * 1000
    assert [path.name for path in (disk / "store" / "checkpoints").iterdir()] == ["a.pt"]
    (disk / "filler").unlink()
    store.write("checkpoints/a.pt", bytes(1_000_000))


@pytest.mark.slow
def test_a_run_on_a_full_disk_says_so_and_goes_on_once_there_is_space(launcher, tmp_path, disk, shared_ray):
    job = launcher(tmp_path, RAW, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db", **shared_ray)
    filled(disk, 200_000)
    done = job.tailboard("run", "t.yaml", "--store", disk / "store", "--slots", 1)
    assert done.returncode == 2, done.stderr
    assert "not finished: OSError: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "missing 1/1" in done.stdout and "No space left on device" in done.stdout
    assert not list((disk / "store").rglob(".*.part"))
    (disk / "filler").unlink()
    done = job.tailboard("run", "t.yaml", "--store", disk / "store", "--slots", 1)
    assert done.returncode == 0, done.stderr
    (record,) = (disk / "store" / "records").glob("*.json")
    assert json.loads(record.read_text())["status"] == "complete"
