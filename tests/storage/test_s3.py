"""`tailboard run` into a bucket of a real S3 server, killed and cut off on the way: the same as on a disk."""

import json
import signal
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tailboard.harness.storage.store import Store

pytestmark = pytest.mark.slow

# Held trains like ERM, and waits in its third epoch while there is a file.
HELD = """
import time
from pathlib import Path
from dataclasses import dataclass
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Held(Part):
    def build(self, scene):
        def weights(epoch):
            while epoch >= 2 and Path("HOLD").exists():
                time.sleep(0.05)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register("Held", Recipe(weights=Held()))
"""
SPEC: dict[str, Any] = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": [{"name": "Held", "plugin": "held.py"}, "SAM-A"],
    "network": "small",
    "training": {"epochs": 4, "batch_size": 32},
    "seeds": 1,
    "resources": {"checkpoint_seconds": 0},
    "tune": {"trials": 4, "parameters": "all"},
}


class Remote:
    """What `tailboard` processes leave in a bucket."""

    def __init__(self, job: Any, url: str) -> None:
        self.job, self.url, self.store = job, url, Store(url)

    def start(self, *words: Any) -> Any:
        return self.job.start(*(words or ("run", "t.yaml", "--store", self.url, "--slots", 2)))

    def run(self, *words: Any) -> Any:
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def written(self, folder: str) -> dict[str, str]:
        """When each file was written, and a hash of what it holds."""
        files = fsspec.filesystem("s3").find(f"{self.store.root}/{folder}", detail=True, refresh=True)
        return {Path(name).name: f"{about['ETag']} {about['LastModified']}" for name, about in files.items()}

    def driver(self) -> dict[str, Any]:
        names = self.store.names("drivers", ".json")
        return json.loads(self.store.read(f"drivers/{max(map(int, names))}.json")) if names else {}


@pytest.fixture
def hold(tmp_path):
    return tmp_path / "hold"


@pytest.fixture
def files(hold):
    return {"held.py": HELD.replace("HOLD", str(hold))}


@pytest.fixture
def remote(launcher, tmp_path, files, bucket):
    return Remote(launcher(tmp_path, SPEC, files), f"{bucket}/x")


@pytest.fixture
def on_disk(launcher, tmp_path_factory, files, shared_ray):
    """A run that nobody disturbs into a local store; what the bucket must come to."""
    job = launcher(tmp_path_factory.mktemp("disk"), SPEC, files, **shared_ray)
    done = job.run()
    assert done.returncode == 0, done.stderr
    return job


def test_a_bucket_comes_to_the_bytes_of_a_disk_after_a_kill_and_an_outage(on_disk, remote, hold, s3):
    hold.touch()
    first = remote.start()
    remote.job.wait_for(lambda: len(remote.store.names("rungs")) >= 3 and remote.store.names("checkpoints"), first)

    code, out, err = remote.run()
    assert (code, out) == (1, ""), err
    assert f"is being filled by process {first.pid} on " in err
    assert len(err.splitlines()) == 1
    states = lambda: json.loads(remote.run("status", remote.url, "--json")[1])["states"]  # noqa: E731
    # Status speaks while the run goes on: the other slot's trial ends, the one that is held does not.
    remote.job.wait_for(lambda: states()["started"] == 1, first)

    first.send_signal(signal.SIGKILL)
    first.wait()
    assert remote.job.gone_within(60), remote.job.leftovers()
    remote.store.remove("studies.db")  # the worst case: nothing had been written back of what was proposed
    before = {folder: remote.written(folder) for folder in ("rungs", "records")}
    second = remote.start()  # not 90 s later: on this machine it can be seen that the first is dead
    remote.job.wait_for(lambda: remote.driver().get("pid") == second.pid and remote.job.workers(), second)
    refused = s3.refused
    s3.break_for(5, "503")
    hold.unlink()
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert s3.refused > refused, "the outage was met"

    for folder, files in before.items():
        assert files.items() <= remote.written(folder).items(), "what was finished was made again"
    assert len(before["rungs"]) >= 3
    for name in ("leaderboard.csv", "budget.csv"):
        assert remote.store.read(f"report/{name}") == (on_disk.store / "report" / name).read_bytes()
    theirs = on_disk.records()
    assert remote.store.finished() == set(theirs)
    for key, record in theirs.items():
        ours = json.loads(remote.store.read(f"records/{key}.json"))
        for name in ("status", "epochs", "accuracy", "values", "data"):
            assert ours[name] == record[name], (key, name)
    assert max(remote.store.record(key).attempts for key in theirs) == 2, "nothing was resumed"
    assert remote.driver()["ended"]
    assert not remote.store.names("checkpoints")
    code, out, err = remote.run("report", remote.url)
    assert code == 0, err
    assert out.splitlines()[0] == (on_disk.store / "report" / "leaderboard.md").read_text().splitlines()[0]
    assert remote.job.gone_within(60), remote.job.leftovers()
    assert remote.job.folders() == []
