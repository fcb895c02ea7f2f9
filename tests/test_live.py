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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TAILBOARD = Path(sys.executable).with_name("tailboard")
NASTY = "Slow \x1b[2J\x1b]0;owned\x07"
SHOWN = "Slow  [2J ]0;owned "
# Each epoch takes a while without keeping a core busy, so that there is time to look.
SLOW = f"""
import time
from dataclasses import dataclass
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Slow(Part):
    def build(self, scene):
        def weights(epoch):
            time.sleep(0.5)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register({NASTY!r}, Recipe(weights=Slow()))
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", {"name": NASTY, "plugin": "slow.py"}],
    "network": "small",
    "training": {"epochs": 12, "batch_size": 32},
    "seeds": 2,
}


class Terminal:
    """A process on a pseudo-terminal of 50 lines of 200 columns, and all that it has written there."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            [str(TAILBOARD), *words], cwd=folder, env=os.environ | {"TERM": "xterm-256color"} | environment,
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


def lines(process: subprocess.Popen[str]) -> Callable[[], list[str]]:
    found: list[str] = []

    def read() -> None:
        found.extend(iter(process.stdout.readline, ""))  # one at a time, as they come

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def ended() -> list[str]:
        assert process.wait(timeout=60) == 0, process.stderr.read()
        thread.join(10)
        return found

    return ended


def test_a_terminal_shows_the_run_and_so_do_other_shells(launcher, tmp_path):
    job = launcher(tmp_path, SPEC, {"slow.py": SLOW})
    run = Terminal(
        ["run", "t.yaml", "--store", "store", "--slots", "2"], job.folder, job.environment | {"NO_COLOR": "1"}
    )
    job.sessions.append(run.process.pid)
    job.wait_for(lambda: (job.store / "progress.json").exists(), run.process)
    plain = lines(job.start("status", "store", "--watch", "--every", "0.5"))
    objects = lines(job.start("status", "store", "--watch", "--every", "0.5", "--json"))
    watch = Terminal(["status", "store", "--watch", "--every", "0.5"], job.folder, job.environment)
    job.wait_for(lambda: json.loads((job.store / "progress.json").read_text())["left"], run.process)
    once = json.loads(job.tailboard("status", "store", "--json").stdout)["run"]

    assert run.end() == 0, run.text
    assert run.shows(
        r"0 done, 2 running, 0 failed of 4 trials",
        r"elapsed, about \d+ (s|min) left",
        rf"MLflow: sqlite:///{re.escape(str(job.store))}/mlflow.db",
        r"ERM +│ +1/2 │",
        rf"{re.escape(SHOWN)} +│ +0/2 │ +[12] │",
    ), run.text
    assert "Ray's dashboard" not in run.text, "a local Ray has none"
    assert b"\x1b[2J" not in run.raw
    assert b"\x1b]0;" not in run.raw
    assert not re.search(rb"\x1b\[[0-9;]*(3|4|9)[0-9;]*m", run.raw), "NO_COLOR"
    assert "| ERM" in run.text, "and in the end the leaderboard"
    assert not (job.store / "progress.json").exists()

    assert watch.end() == 0, watch.text
    assert watch.shows(
        r"2 running, 0 failed of 4 trials", r"about \d+ (s|min) left", "MLflow: ", rf"{re.escape(SHOWN)} +│ +[01]/2 │",
        r"4 done, 0 running, 0 failed of 4 trials", rf"{re.escape(SHOWN)} +│ +2/2 │ +│ +│ +[0-9.]+ │",
    ), watch.text  # fmt: skip
    assert b"\x1b[2J" not in watch.raw

    said = plain()
    assert len(set(said)) == len(said), "a line where something has changed"
    assert any("2 running" in line and line.endswith("left\n") for line in said), said
    assert said[-1] == "4 done, 0 running, 0 failed of 4 trials; no run is at it\n"

    facts = [json.loads(line) for line in objects()]
    assert [one["done"] for one in facts] == sorted(one["done"] for one in facts)
    assert any(one["left"] for one in facts)
    epochs = [trial["epoch"] for one in facts for trial in one["trials"]]
    assert len(set(epochs)) > 1, "the epochs that are done"
    assert (facts[-1]["driven"], facts[-1]["done"], facts[-1]["trials"]) == (False, 4, [])
    assert all({"few", "med", "all"} <= method["means"].keys() for method in facts[-1]["methods"])

    assert once["driven"]
    assert once["progress"]["left"] > 0
    assert {one["epochs"] for one in once["progress"]["running"]} == {12}
    assert job.leftovers() == []


def test_a_run_that_was_killed_is_said_to_be(launcher, tmp_path):
    job = launcher(tmp_path, SPEC | {"seeds": 1}, {"slow.py": SLOW})
    process = job.start()
    job.wait_for(lambda: (job.store / "progress.json").exists() and job.workers(), process)
    watch = lines(job.start("status", "store", "--watch", "--every", "0.3"))
    process.kill()
    process.wait()
    assert "the run was killed" in watch()[-1]
    assert "the run was killed" in job.tailboard("status", "store").stdout
    assert job.gone_within(20), job.leftovers()
