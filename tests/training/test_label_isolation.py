"""Test labels never enter a process that runs a method, whatever became of the trials that ran there."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from small_spec import SMALL
from tailboard.datasets import lock
from tailboard.harness.planning.request import check_names
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import Data, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.scoring_process import ScoringProcess, ScoringProcessDied, scoring_process
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.part import MethodError

RAW = SMALL | {"name": "wall", "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}}
# Labels come class by class. In no training set here do fifty images of class 2 stand before fifty of class 3; they do
# among the labels of test, of validation, and of the whole pool. What is looked for is itself nowhere in memory.
SCANNED = """
import sys
from contextlib import suppress
import numpy as np, torch
from tailboard.harness.tuning.search import searches
from tailboard.harness.spec.schema import Data, plan
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.training.job import Job
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import Drained, TrialContext, run_trial

PLUGIN = '''
import torch
from tailboard.methods.losses import cross_entropy
from tailboard.methods.recipe import Part, Recipe, hyper, register
from dataclasses import dataclass
from tailboard.methods.range import Range

def fails(loss):
    raise ValueError("of no use")
def memory(loss):
    raise torch.OutOfMemoryError("CUDA out of memory")
def diverges(loss):
    return loss * float("nan")
def trains(loss):
    return loss

@dataclass(frozen=True)
class Planted(Part):
    what: str
    scale: float = hyper(1.0, "none", Range(0.5, 2.0))
    def build(self, scene):
        act = globals()[self.what]
        return lambda logits, y, epsilon: act(cross_entropy(logits, y, epsilon) * self.scale)

for what in ("fails", "memory", "diverges", "trains"):
    register(what, Recipe(loss=Planted(what)))
'''
KINDS = ("fails", "memory", "diverges", "trains")
RUN = 50

def ranges():  # whatever is in memory and is no code
    for line in open("/proc/self/smaps").read().splitlines():
        if ":" not in line.split()[0]:
            where, rights, _, _, _, *path = line.split()
            code = bool(path) and path[0] not in ("[heap]", "[stack]") and "test_labels" not in path[0]
        elif line.startswith("Rss:") and int(line.split()[1]) and rights.startswith("r") and not code:
            yield tuple(int(end, 16) for end in where.split("-"))

def holds_labels(kind, data):
    labels = np.frombuffer(data[: len(data) // 8 * 8], kind)
    few = labels[:: RUN // 2]  # of fifty labels in a row two are among these
    two = few == 2
    pairs = np.flatnonzero(two[:-3] & two[1:-2])  # hardly any: the rest of the memory is looked at no further
    for last in (pairs[(few[pairs + 2] == 3) & (few[pairs + 3] == 3)] + 1) * (RUN // 2):
        at = last + int(np.argmax(labels[last : last + RUN] == 3))
        around = labels[max(at - RUN, 0) : at + RUN]
        if len(around) == 2 * RUN and (around[:RUN] == 2).all() and (around[RUN:] == 3).all():
            return True
    return False

def found():
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for start, end in ranges():
            for at in range(start, end, 1 << 24):
                with suppress(OSError, ValueError):
                    memory.seek(at)
                    data = memory.read(min(1 << 24, end - at))
                    if any(holds_labels(kind, data) for kind in (np.int64, np.int32, np.int16, np.uint8)):
                        return True
    return False

raw, store, times = eval(sys.argv[1]), sys.argv[2], int(sys.argv[3])
control = True
for kind in (np.int64, np.int32, np.int16, np.uint8):
    planted = np.zeros(3000, kind)  # in place: a copy that is freed may stay in memory
    for label in range(10):
        planted[300 * label : 300 * (label + 1)] = label
    control &= found()
    planted[:] = 0
control &= not found()
spec = with_plugin(parse(raw | {"seeds": times, "tune": {"trials": 4, "parameters": "scale"}}), PLUGIN, list(KINDS))
reported = plan(spec)
tuned = [search.default_trials()[0] for search in searches(spec).values()]
ends, hits = [], 0
for number in range(times):
    mine = [trial for trial in reported if trial.method.name == KINDS[number % 4] and trial.seed == number]
    trial = tuned[number // 2 % len(tuned)].model_copy(update={"seed": 2000 + number}) if number % 2 else mine[0]
    setting = TrialContext(store=store, plugins=spec.plugins)
    stop = StopDecision.CONTINUE if number % 5 else StopDecision.DRAIN
    try:
        ends.append(run_trial(Job.of(trial), setting, should_stop=lambda: stop).status)
    except (Drained, torch.OutOfMemoryError) as error:
        ends.append(type(error).__name__)
    if number % 3 == 0 or number == times - 1:
        hits += found()
print(control, hits, *sorted(set(ends)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks through /proc/self/mem")
def test_a_hundred_trials_in_one_process_leave_no_test_label_in_its_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCANNED, repr(RAW), str(tmp_path), "100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "0", "Drained", "OutOfMemoryError", "complete", "diverged", "failed"]


OF_TABLES = (
    SCANNED.partition("raw, store, times")[0]
    + """
trials, store = [Trial.model_validate(each) for each in json.loads(sys.argv[1])], sys.argv[2]
planted = np.repeat(np.arange(10), 300).astype(np.int64)
control = found()
planted[:] = 0
ends = [run_trial(Job.of(trial), TrialContext(store=store)).status for trial in trials]
print(control and not found() and not found(), *sorted(set(ends)))
"""
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks through /proc/self/mem")
def test_trials_on_a_table_leave_no_test_label_in_their_process(tmp_path):
    """The table's test rows come class by class, as the labels that are looked for; its training rows do not."""
    rows = [f"{(i * 7) % 11},c{i % 4},train" for i in range(400)]
    rows += [f"{i % 11},c{i // 100},test" for i in range(400)]
    (tmp_path / "t.csv").write_text("x,y,split\n" + "\n".join(rows))
    data = {"name": f"csv:{tmp_path}/t.csv", "label": "y", "profile": "natural"}
    raw = {"name": "t", "data": data, "methods": ["ERM", "RandomUnderSampler"], "network": "logistic_regression"}
    trials = json.dumps([trial.model_dump(mode="json") for trial in plan(parse(raw | {"seeds": 2}))])
    script = OF_TABLES.replace("import sys\n", "import json, sys\nfrom tailboard.harness.spec.schema import Trial\n", 1)
    done = subprocess.run(
        [sys.executable, "-c", script, trials, str(tmp_path / "store")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "complete"], done.stderr


@pytest.mark.slow
def test_a_process_that_scores_and_dies_costs_one_try(tmp_path, monkeypatch):
    trial, setting = plan(parse(RAW))[0], TrialContext(store=str(tmp_path))
    held = ScoringProcess()
    monkeypatch.setattr("tailboard.harness.training.trial.scoring_process", lambda: held)

    def kill(line):
        held._process.kill()
        held._process.wait()

    with pytest.raises(ScoringProcessDied):
        run_trial(Job.of(trial), setting, report=kill)
    assert not Store(tmp_path).finished()
    monkeypatch.undo()
    assert run_trial(Job.of(trial), setting).status == "complete"


def test_an_answer_that_nobody_took_is_not_taken_for_the_next_one(monkeypatch):
    """An interrupt while an answer is awaited: the process is given up, and the next one begins anew."""
    held, trial = scoring_process(), plan(parse(RAW))[0]
    taken = held._connection

    class Interrupted:
        """Sends what it is given, and is interrupted before the answer comes."""

        send_bytes, close = taken.send_bytes, taken.close

        def recv_bytes(self) -> bytes:
            raise KeyboardInterrupt

    held._connection = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        held.prepare(Data(name="fashion-mnist-mini"), None, True)
    assert not held.alive
    assert sum(scoring_process().split(trial, None, True).counts) > 0


def test_images_of_another_decoding_are_not_scored_against_the_labels_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scoring = ScoringProcess()
    scoring.split(plan(parse(RAW))[0], None, True)
    (images,) = (tmp_path / "tailboard" / "arrays").glob("*/test_images.npy")
    other = np.load(images)
    images.unlink()
    np.save(images, 255 - other)
    with pytest.raises(OSError, match="was replaced while a trial was under way"):
        scoring.images()
    scoring.close()


def test_what_a_worker_sends_is_never_unpickled(tmp_path):
    class Touches:
        def __reduce__(self):
            return open, (str(tmp_path / "run"), "w")

    scoring = ScoringProcess()
    for _ in range(2):
        scoring._connection.send_bytes(pickle.dumps(Touches()))
    assert scoring._process.wait(20) != 0
    scoring.close()
    assert not (tmp_path / "run").exists()


def test_a_forked_child_has_no_way_to_the_process_that_holds_the_labels():
    scoring = ScoringProcess()
    number = scoring._connection.fileno()
    child = os.fork()
    if not child:
        try:
            os.fstat(number)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    scoring.close()


PEEKS = """
import os
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Peeks(Part):
    def build(self, scene):
        (path,) = Path("ARRAYS").iterdir()
        open(path, "rb")

register("Peeks", Recipe(loss=Peeks()))
"""


def test_the_predictions_of_other_trials_are_not_opened_by_a_method(tmp_path):
    """Beside them lie the test labels."""
    (first,) = plan(parse(RAW))
    assert run_trial(Job.of(first), TrialContext(str(tmp_path))).status == "complete"
    spec = with_plugin(parse(RAW), PEEKS.replace("ARRAYS", str(tmp_path / "arrays")), ["Peeks"])
    peeking = next(trial for trial in plan(spec) if trial.method.name == "Peeks")
    record = run_trial(Job.of(peeking), TrialContext(str(tmp_path), plugins=spec.plugins))
    assert record.status == "failed" and "the test set is locked" in record.reason


BUILT = """
import os
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Built(Part):
    def build(self, scene):
        print("printed")
        Path("FILE").write_text(str(os.getpid()))

register("Built", Recipe(loss=Built()))
"""


@pytest.mark.slow
def test_a_process_that_has_read_labels_runs_no_method(tmp_path, monkeypatch):
    """As after a report: what a plan tries on random images is tried elsewhere."""
    spec = with_plugin(parse(RAW), BUILT.replace("FILE", str(tmp_path / "built")), ["Built"])
    (trial,), store = plan(parse(RAW)), Store(tmp_path / "store")
    run_trial(Job.of(trial), TrialContext(str(store)))
    monkeypatch.setattr(lock, "_labels_read", False)
    check_names(plan(spec), spec.plugins)
    assert int((tmp_path / "built").read_text()) == os.getpid()
    store.arrays(trial.key, "history_")
    check_names(plan(spec), spec.plugins)
    assert int((tmp_path / "built").read_text()) != os.getpid()
    with pytest.raises(MethodError, match="tau-normalisation"):
        check_names(plan(parse(RAW | {"methods": "LDAM-DRW + tau-normalisation"})), {})
