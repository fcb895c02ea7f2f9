"""What a run shows while it trains: on a real pseudo-terminal, and in other shells beside it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tailboard.harness.monitoring.status import status_facts
from tailboard.harness.monitoring.watch import watch
from tailboard.harness.storage.store import Store

pytestmark = pytest.mark.slow

TAILBOARD = Path(sys.executable).with_name("tailboard")
NASTY = "Slow \x1b[2J\x1b]0;owned\x07"
SHOWN = "Slow  [2J ]0;owned "
# In its fourth epoch it waits until there is a file ``go``, so that there is time to look.
SLOW = f"""
import time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Slow(Part):
    def build(self, scene):
        def weights(epoch):
            while epoch == 3 and not Path("GO").exists():
                time.sleep(0.05)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register({NASTY!r}, Recipe(weights=Slow()))
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", {"name": NASTY, "plugin": "slow.py"}],
    "network": "small",
    "training": {"epochs": 6, "batch_size": 32},
    "seeds": 2,
}


class Terminal:
    """A process on a pseudo-terminal of 50 lines of 200 columns, and all that it has written there."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        # The test's own process may have been told of another size.
        outside = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [str(TAILBOARD), *words], cwd=folder, env=outside | {"TERM": "xterm-256color"} | environment,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.raw = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # Linux's way to say that the other side is closed
            while data := os.read(self._master, 1 << 16):
                self.raw += data

    @property
    def text(self) -> str:
        """Without what moves the cursor or colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))

    def shows(self, *patterns: str) -> bool:
        return all(re.search(pattern, self.text) for pattern in patterns)

    def end(self) -> int:
        code = self.process.wait(timeout=100)
        self._thread.join(10)
        os.close(self._master)
        return code


def read(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a process writes to stdout, an object in each line, as it comes."""
    found: list[dict[str, Any]] = []

    def follow() -> None:
        found.extend(json.loads(line) for line in iter(process.stdout.readline, ""))

    threading.Thread(target=follow, daemon=True).start()
    return found


def test_a_terminal_shows_the_run_and_so_do_other_shells(launcher, tmp_path):
    go = tmp_path / "go"
    job = launcher(tmp_path, SPEC, {"slow.py": SLOW.replace("GO", str(go))})
    run = Terminal(
        ["run", "t.yaml", "--store", "store", "--slots", "2"], job.folder, job.environment | {"NO_COLOR": "1"}
    )
    job.sessions.append(run.process.pid)
    job.wait_for((job.store / "progress.json").exists, run.process)
    watch = Terminal(["status", "store", "--watch", "--every", "0.5"], job.folder, job.environment)
    machine = job.start("status", "store", "--watch", "--every", "0.5", "--json")
    facts = read(machine)

    picture = (
        r"2 done, 2 running, 0 failed of 4 trials",
        r"elapsed, about [1-9]\d* (s|min) left",
        rf"MLflow: sqlite:///{re.escape(str(job.store))}/mlflow.db",
        r"ERM +│ +2/2 │ +│ +│ +[0-9.]+ │",
        rf"{re.escape(SHOWN)} +│ +0/2 │ +2 │",
    )
    job.wait_for(lambda: run.shows(*picture) and watch.shows(*picture), run.process)
    job.wait_for(lambda: any(one["left"] and [t["epoch"] for t in one["trials"]] == [3, 3] for one in facts), machine)
    now = status_facts(Store(job.store))["run"]
    sockets = job.listening()
    assert now["driven"]
    assert {(one["epoch"], one["epochs"]) for one in now["progress"]["running"]} == {(3, 6)}
    go.touch()

    assert (run.end(), watch.end(), machine.wait(timeout=100)) == (0, 0, 0), run.text + watch.text
    for seen in (run, watch):
        assert not re.search(rb"\x1b\[2J|\x1b\]0;|\x07", seen.raw), "the method's name is shown, and does nothing"
        assert "Ray's dashboard" not in seen.text, "a local Ray has none"
    assert not re.search(rb"\x1b\[([0-9;]*;)?([349]|10)[0-9][0-9;]*m", run.raw), "NO_COLOR"
    assert run.shows("checking the spec and its data", r"starting Ray \.\.\.")
    assert "| ERM" in run.text, "and in the end the leaderboard"
    assert watch.shows(r"4 done, 0 running, 0 failed of 4 trials", rf"{re.escape(SHOWN)} +│ +2/2 │ +│ +│ +[0-9.]+ │")
    assert [one["done"] for one in facts] == sorted(one["done"] for one in facts)
    assert (facts[-1]["driven"], facts[-1]["done"], facts[-1]["trials"]) == (False, 4, [])
    assert all({"few", "med", "all"} <= method["means"].keys() for method in facts[-1]["methods"])
    assert not (job.store / "progress.json").exists()
    job.check_nothing_is_left(sockets)


def test_a_run_that_was_killed_is_said_to_be(launcher, tmp_path, shared_ray):
    job = launcher(tmp_path, SPEC, {"slow.py": SLOW}, **shared_ray)
    process = job.start()
    job.wait_for((job.store / "progress.json").exists, process)
    looks = watch(Store(job.store), every=0.1)
    assert next(looks)["driven"]
    process.kill()
    process.wait()
    *_, last = looks
    assert (last["driven"], last["done"]) == (False, 0)
    assert "the run was killed" in last["note"]
    assert job.gone_within(60), job.leftovers()
