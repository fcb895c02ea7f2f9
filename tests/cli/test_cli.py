"""The commands: data on stdout, one line for each mistake on stderr, and the exit codes that cli/app.py documents."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tailboard.harness.cli import app
from tailboard.harness.cli.descriptions.method_source import method_source
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training import cost
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.search import searches
from tailboard.methods.registry import recipe, registry

SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "Reweighting"],
    "network": "small",
    "training": {"epochs": 1},
    "seeds": 2,
}


pytestmark = pytest.mark.usefixtures("own_folder")


def spec_file(folder: Path, **changes) -> Path:
    path = folder / "t.yaml"
    path.write_text(json.dumps(SPEC | changes))  # JSON is YAML
    return path


def filled(folder: Path, **changes) -> Store:
    """A store whose trials are all complete; the accuracy of class c is 10 c + seed."""
    store, spec = Store(folder), parse(SPEC | changes)
    store.write_plan(spec)
    for trial in plan(spec):
        accuracy = tuple(10.0 * c + trial.seed for c in range(10))
        counts = (60, 46, 35, 27, 21, 16, 12, 10, 7, 6)
        store.write_record(
            Record(key=trial.key, trial=trial, status="complete", counts=counts, accuracy={"last_ema": accuracy})
        )
        store.mark_tracked(trial.key, {})
    return store


def imported(*commands: str) -> tuple[str, set[str]]:
    """What commands print, and the modules that a process which runs one after the other has imported."""
    code = f"""import sys
from tailboard.harness.cli.app import main
for command in {commands!r}:
    sys.argv = ['tailboard', *command.split()]
    try: main()
    except SystemExit as end: assert not end.code, (command, end.code)
print(*sys.modules, file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.splitlines()[-1].split())


def test_help_imports_nothing_heavy():
    """How long it takes is a benchmark; what it imports decides that."""
    out, modules = imported("--help")
    assert "quickstart" in out
    assert not modules & {"torch", "ray", "mlflow", "pandas", "numpy", "pydantic", "rich"}


@pytest.mark.slow
def test_quick_commands_import_no_torch(tmp_path):
    """Nor scipy.stats, before something is compared; of a tuned store, whose searches are read, no less."""
    store, spec = filled(tmp_path), parse(SPEC | {"name": "tuned", "tune": {"trials": 4, "parameters": "all"}})
    lists = ("list specs", "list datasets", "list networks", "data profile cifar100 --imbalance-factor 100")
    out, modules = imported(*lists, f"report {store}")
    assert "resnet56" in out
    assert not modules & {"torch", "scipy.stats", "ray", "mlflow"}
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    _, modules = imported(f"status {store}")
    assert "tailboard.harness.tuning.archive" in modules, "the tuned plan was read"
    assert not modules & {"torch", "scipy.stats", "pandas", "ray", "mlflow"}


@pytest.mark.slow
def test_a_plan_is_checked_without_torchs_compiler_or_what_tables_need_and_the_next_time_without_torch(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, modules = imported(f"plan {spec_file(tmp_path)}")
    assert "torch.nn" in modules
    assert not modules & {"torch._dynamo", "torchvision", "triton", "sklearn", "pandas"}
    again, modules = imported(f"plan {tmp_path / 't.yaml'}", "list methods", "show Joint-SSL")
    assert again.startswith(first)
    assert not any(name.startswith("torch.") for name in modules)


def test_the_operations_of_a_network_are_counted_once_for_all_processes(tmp_path, monkeypatch):
    """So that the driver of a run need not import torch for them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counted, count = [], cost._of_layers

    def noted(*what) -> int:
        counted.append(what)
        return count(*what)

    monkeypatch.setattr(cost, "_of_layers", noted)
    what = ("small", (1, 28, 28), 10)
    first = cost._operations.__wrapped__(*what)
    assert cost._operations.__wrapped__(*what) == first == count(*what) and counted == [what]
    (tmp_path / "tailboard" / "methods" / "operations.txt").write_text("of other code\nsmall 1x28x28 10 1")
    assert cost._operations.__wrapped__(*what) == first


@pytest.mark.slow
def test_a_run_is_prepared_and_followed_without_torch():
    """With ``scipy``, which looks at each array whether it is one of torch's."""
    code = """import sys
from tailboard.methods.deferred_torch import defer_torch, end_deferral
defer_torch()
import tailboard.harness.driver, tailboard.harness.reporting.pages.html_pages
end_deferral()
import scipy.stats
assert scipy.stats.t(4).ppf(0.975) > 2
assert "torch" not in sys.modules
from tailboard.methods import part
assert part.torch.Tensor is sys.modules["torch"].Tensor and part.torch.nn is sys.modules["torch.nn"]"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_plugin_may_begin_with_any_module_of_torch(tmp_path):
    """Which is not imported where ours alone are planned, and would be executed twice."""
    (tmp_path / "mine.py").write_text(
        "from torch.optim import SGD\nfrom tailboard.methods.recipe import Recipe, register\n"
        "register('Mine', Recipe())\n"
    )
    out, _ = imported(f"plan {spec_file(tmp_path, methods=[{'name': 'Mine', 'plugin': 'mine.py'}])}")
    assert "Mine" in out


@pytest.mark.parametrize(
    "command", ["quickstart", "plan", "run", "status", "report", "list", "data list", "data prepare", "data profile"]
)
def test_each_commands_help_ends_with_an_example(tailboard, command):
    code, out, err = tailboard(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert f"tailboard {command}" in out.strip().splitlines()[-1] + out.strip().splitlines()[-2]


def test_plan_lists_every_trial_with_its_key(tailboard, tmp_path):
    code, out, err = tailboard("plan", spec_file(tmp_path), "--json")
    assert (code, err) == (0, "")
    assert [fact["key"] for fact in json.loads(out)] == [trial.key for trial in plan(parse(SPEC))]
    code, out, err = tailboard("plan", "t.yaml")
    assert "4 trials: 1 data x 2 methods" in out


def test_a_name_that_is_given_never_replaces_the_plan_of_another(tailboard, tmp_path):
    store = Store("runs/mine")
    store.write_plan(parse(SPEC | {"name": "mine"}))
    before = store.read("plans/mine.json")
    code, out, err = tailboard("run", spec_file(tmp_path), "--set", "training.epochs=7", "--name", "mine")
    assert (code, out) == (1, "") and "holds another plan of that name, which would be replaced" in err, err
    assert store.read("plans/mine.json") == before


def test_show_prints_a_method_whole(tailboard, tmp_path):
    code, out, err = tailboard("show", "SAM-A + M2m")
    assert (code, err) == (0, "")
    assert "# step: methods/optimizers/" in out
    assert out.index("class Resampling(Part):") < out.index("class DeferredResampling(Resampling):"), "what it inherits"
    assert out.count("def build(self, scene") == 4  # those of Resampling, M2m, SAM and SAMA
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n\nfrom tailboard.methods.recipe import Part, Recipe, register\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(Part):\n    def build(self, scene):\n        return None\n\n\n"
        'register("Mine", Recipe(loss=Mine()), description="d", source="s")\n'
    )
    code, out, _ = tailboard("show", "Mine", "--plugin", tmp_path / "mine.py")
    assert code == 0 and out.rstrip().endswith("class Mine(Part):\n    def build(self, scene):\n        return None")
    code, out, err = tailboard("show", "SAMA")
    assert (code, out) == (1, "") and "did you mean 'SAM-A'" in err
    (tmp_path / "made.py").write_text(
        "from dataclasses import make_dataclass\n\nfrom tailboard.methods.recipe import Part, Recipe, register\n\n"
        "Made = make_dataclass('Made', [('k', int, 5)], bases=(Part,), frozen=True)\n"
        'register("Made", Recipe(loss=Made()), description="d", source="s")\n'
    )
    code, out, _ = tailboard("show", "Made", "--plugin", tmp_path / "made.py")
    assert code == 0 and out.rstrip().endswith("class Made(Part):\n    k: int = 5"), out


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_registered_method_is_shown_with_its_classes(name):
    shown = method_source(name)
    for part in recipe(name).parts().values():
        assert f"\nclass {type(part).__name__}(" in shown


@pytest.mark.parametrize(
    ("name", "factor", "total", "shots"),
    [
        ("cifar100", 100, 10847, {"many": 35, "med": 35, "few": 30}),
        ("cinic10", 1000, 16784, {"many": 6, "med": 2, "few": 2}),
    ],
)
def test_data_profile_needs_no_images(tailboard, name, factor, total, shots):
    code, out, _ = tailboard("data", "profile", name, "--imbalance-factor", factor, "--json")
    lines = json.loads(out)
    assert code == 0
    assert sum(line["images"] for line in lines) == total
    assert {group: sum(line["shots"] == group for line in lines) for group in shots} == shots


@pytest.mark.parametrize("what", ["methods", "datasets", "networks", "specs"])
def test_lists_are_for_people_and_machines(tailboard, what):
    code, out, err = tailboard("list", what, "--json")
    assert (code, err) == (0, "")
    names = [line["name"] for line in json.loads(out)]
    code, out, _ = tailboard("list", what)
    assert code == 0
    assert all(name in out for name in names)


def test_report_in_four_formats(tailboard, tmp_path):
    filled(tmp_path / "s")
    code, out, err = tailboard("report", "s", "--format", "json")
    assert (code, err) == (0, "")
    cells = json.loads(out)
    assert len(cells) == 2 * 4
    assert all({"dataset", "method", "group", "mean", "stderr", "n", "status"} <= set(cell) for cell in cells)
    means = {cell["group"]: cell["mean"] for cell in cells if cell["method"] == "ERM"}
    assert means == {"few": 70.5, "med": 20.5, "many": None, "all": 45.5}
    for form, word in (("md", "| ERM"), ("latex", r"\toprule"), ("csv", "ERM,")):
        code, out, err = tailboard("report", tmp_path / "s", "--format", form, "-o", f"out.{form}")
        assert (code, out, err) == (0, "", "")
        assert word in (tmp_path / f"out.{form}").read_text()


def test_shots_may_be_counted_otherwise(tailboard, tmp_path):
    filled(tmp_path / "s")
    classes = {}
    for name, options in (("counts", ["--few", 30, "--many", 40]), ("thirds", ["--tercile"])):
        code, out, _ = tailboard("report", "s", "--format", "json", *options)
        assert code == 0
        classes[name] = {c["group"]: c["mean"] for c in json.loads(out) if c["method"] == "ERM"}
    assert classes["counts"] == {"few": 60.5, "med": 20.5, "many": 5.5, "all": 45.5}
    assert classes["thirds"] == {"few": 80.5, "med": 45.5, "many": 10.5, "all": 45.5}


def test_several_stores_stand_in_one_table(tailboard, tmp_path):
    """The same trials once; others apart, even where only a detail of the routine or the file of a plugin differs."""
    filled(tmp_path / "a")
    filled(tmp_path / "same", name="other")
    filled(tmp_path / "lr", training={"epochs": 1, "lr": 0.2})
    filled(tmp_path / "threads", resources={"cpu": 2})
    (tmp_path / "v1.py").write_text("x = 1")
    (tmp_path / "v2.py").write_text("x = 2")
    filled(tmp_path / "p1", methods=[{"name": "Mine", "plugin": "v1.py"}])
    filled(tmp_path / "p2", methods=[{"name": "Mine", "plugin": "v2.py"}])
    code, out, err = tailboard("report", "a", "same", "lr", "threads", "p1", "p2", "--format", "json")
    assert (code, err) == (0, "")
    cells = [cell for cell in json.loads(out) if cell["group"] == "all"]
    assert len(cells) == 2 * 3 + 2
    assert all((cell["n"], cell["status"]) == (2, "complete") for cell in cells)
    assert len({cell["protocol"] for cell in cells}) == 3
    assert len({cell["method"] for cell in cells}) == 4


def test_what_one_store_lacks_another_may_have(tailboard, tmp_path):
    store = filled(tmp_path / "a")
    filled(tmp_path / "b")
    store.remove(f"records/{sorted(store.finished())[0]}.json")
    assert tailboard("report", "a")[0] == 2
    assert tailboard("report", "a", "b")[0] == 0
    assert tailboard("report", "b", "a")[0] == 0


def test_a_plan_that_was_changed_leaves_the_old_trials_out(tailboard, tmp_path):
    filled(tmp_path / "s")
    Store(tmp_path / "s").write_plan(parse(SPEC | {"methods": ["ERM", "LDAM-DRW"]}))
    code, out, _ = tailboard("report", "s", "--format", "json")
    states = {(cell["method"], cell["status"]) for cell in json.loads(out) if cell["group"] == "all"}
    assert (code, states) == (2, {("ERM", "complete"), ("LDAM-DRW", "missing")})


def test_a_damaged_record_costs_its_own_seed_only(tailboard, tmp_path):
    store = filled(tmp_path / "s")
    key = plan(parse(SPEC))[0].key
    store.write(f"records/{key}.json", store.read(f"records/{key}.json")[:100])
    code, out, err = tailboard("report", "s", "--format", "json")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert f"records/{key}.json is damaged" in err
    counts = {cell["method"]: (cell["n"], cell["status"]) for cell in json.loads(out) if cell["group"] == "all"}
    assert counts == {"ERM": (1, "incomplete"), "Reweighting": (2, "complete")}
    code, out, err = tailboard("status", "s", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert facts["states"] == {"damaged": 1, "complete": 3}
    assert facts["troubles"][0]["key"] == key


def test_status_tells_what_failed_and_hides_passwords(tailboard, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    store = filled(tmp_path / "s")
    one, two, three, _ = plan(parse(SPEC))
    for trial in (one, two, three):
        store.remove(f"records/{trial.key}.json")
    failed = Record(key=one.key, trial=one, status="failed", reason="ValueError: no", counts=(9, 1))
    store.write_record(failed)
    store.write_broken(two.key, "a worker died")
    store.write(f"checkpoints/{three.key}.pt", b"")
    code, out, err = tailboard("status", "s")
    assert (code, err) == (0, "")
    assert "ValueError: no" in out
    assert "a worker died" in out
    assert "2 of 4 trials are finished" in out
    assert "secret" not in out
    states = json.loads(tailboard("status", "s", "--json")[1])["states"]
    assert states == {"failed": 1, "missing": 1, "started": 1, "complete": 1}
    code, out, err = tailboard("report", "s")
    assert code == 2
    assert "secret" not in out + err


def test_status_may_be_watched_until_the_run_has_ended(tailboard, tmp_path, monkeypatch):
    filled(tmp_path / "s")
    assert tailboard("status", "s", "--watch") == (
        0, "4 done, 0 running, 0 failed of 4 trials; no run is at it\n", "",
    )  # fmt: skip
    code, out, err = tailboard("status", "s", "--watch", "--json")
    facts = json.loads(out)
    assert (code, len(out.splitlines()), err) == (0, 1, "")
    assert (facts["done"], facts["planned"], facts["driven"]) == (4, 4, False)
    assert [row["means"]["few"] for row in facts["methods"]] == [70.5, 70.5]
    code, out, err = tailboard("status", "s")
    assert "no run is at it" in out

    def looks(*_):
        yield facts
        raise KeyboardInterrupt

    monkeypatch.setattr("tailboard.harness.monitoring.watch.watch", looks)
    code, out, err = tailboard("status", "s", "--watch")
    assert (code, len(out.splitlines()), err) == (0, 1, ""), "Ctrl-C ends the looking, and nothing else"


def idx_images(folder: Path) -> None:
    """Fashion-MNIST's four files, each a truncated archive."""
    folder.mkdir()
    for kind in ("train", "t10k"):
        for name in (f"{kind}-images-idx3-ubyte.gz", f"{kind}-labels-idx1-ubyte.gz"):
            data = gzip.compress(np.random.default_rng(0).bytes(5000))
            (folder / name).write_bytes(data[: len(data) // 2])


def broken_plan(folder: Path) -> None:
    filled(folder / "bad").write("plans/t.json", b"{")


FOCAL = {"name": "Focal Loss"}
MISTAKES = {
    "no such file": ("run nowhere.yaml", {}, ["nowhere.yaml"]),
    "no such spec": ("plan quikstart", {}, ["'quickstart'"]),
    "unknown key": ("plan t.yaml", {"sedes": 5}, ["'sedes'", "'seeds'"]),
    "unknown key inside": ("run t.yaml", {"training": {"epoch": 3}}, ["'epoch'", "'epochs'"]),
    "wrong type": (
        "plan t.yaml",
        {"training": {"epochs": "x"}},
        ["training.epochs: should be a valid integer, not 'x'"],
    ),
    "unknown method": ("plan t.yaml", {"methods": ["EMR"]}, ["'EMR'", "'ERM'"]),
    "unknown in a sum": ("run t.yaml", {"methods": ["ERM + Reweigting"]}, ["'Reweigting'", "'Reweighting'"]),
    "two parts, one slot": ("run t.yaml", {"methods": ["LDAM-DRW + Reweighting"]}, ["slot"]),
    "unknown data": ("plan t.yaml", {"data": ["cifar11"]}, ["'cifar11'", "'cifar10'"]),
    "unknown network": ("plan t.yaml", {"network": "resnet33"}, ["'resnet33'", "resnet3"]),
    "impossible network": ("plan t.yaml", {"network": "wrn-27-10"}, ["wrn-27-10", "6n + 4"]),
    "impossible tail": ("plan t.yaml", {"data": [{"name": "cifar10", "imbalance_factor": 1e5}]}, ["cifar10", "5000"]),
    "unknown value": (
        "plan t.yaml",
        {"methods": [FOCAL | {"values": {"loss.gama": 1}}]},
        ["Focal Loss: ", "'loss.gamma'"],
    ),
    "wrong value": ("plan t.yaml", {"methods": [FOCAL | {"values": {"loss.gamma": -1}}]}, ["gamma", "-1"]),
    "value of a wrong type": ("run t.yaml", {"methods": [FOCAL | {"values": {"loss.gamma": "x"}}]}, ["gamma", "'x'"]),
    "calibrate too": ("plan t.yaml --calibrate", {"network": "x"}, ["'x'"]),
    "truncated archive": ("run t.yaml --root cut", {"data": ["fashion-mnist"]}, ["cut/", "-ubyte.gz"]),
    "no plugin": ("run t.yaml --plugin gone.py", {}, ["gone.py cannot be read: No such file"]),
    "a plugin that is none": ("run t.yaml --plugin t.yaml", {}, ["plugin"]),
    "no such store": ("status gone", {}, ["gone", "no store", "tailboard run SPEC --store"]),
    "no store to watch": ("status gone --watch", {}, ["gone", "no store"]),
    "watched at no time": ("status good --watch --every nan", {}, ["--every", "less than or equal to 86400"]),
    "watched too often": ("status good --watch --every 0", {}, ["--every"]),
    "no store to report": ("report good gone", {}, ["gone", "no store"]),
    "unknown file system": ("report gone://x", {}, ["gone://x"]),
    "a file for a store": ("run t.yaml --store t.yaml", {}, ["t.yaml"]),
    "damaged plan": ("report bad", {}, ["bad/plans/t.json is damaged"]),
    "damaged plan in status": ("status bad", {}, ["bad/plans/t.json is damaged"]),
    "unknown format": ("report good --format pdf", {}, ["--format", "pdf", "md, latex, csv, json"]),
    "unknown versus": ("report good --versus EMR", {}, ["'EMR'", "'ERM'"]),
    "unknown versus in csv": ("report good --format csv --versus EMR", {}, ["'EMR'", "'ERM'"]),
    "few above many": ("report good --few 200", {}, ["few", "200"]),
    "few of nothing": ("report good --few 0", {}, ["few", "0"]),
    "nowhere to write": ("report good -o gone/x.md", {}, ["error: gone/x.md: no such file or directory"]),
    "unknown list": ("list method", {}, ["'method'", "methods"]),
    "unknown profile": ("data profile cifar10 --imbalance-factor 10 --profile expo", {}, ["expo", "'exp'"]),
    "factor below one": ("data profile cifar10 --imbalance-factor 0.5", {}, ["imbalance_factor", "0.5"]),
    "data without a factor": ("data profile cifar10", {}, ["--imbalance-factor"]),
    "unknown data to verify": ("data verify cifar1", {}, ["'cifar1'", "'cifar10'"]),
    "nothing to prepare": ("data prepare fashion-mnist-mini", {}, ["no preparation"]),
    "unknown option": ("run t.yaml --slot 2", {}, ["--slot", "--slots"]),
    "seeds that are no number": ("plan t.yaml --seeds x", {}, ["--seeds", "it should be a valid integer (see"]),
    "a name that is none": ("plan t.yaml --name ../x", {}, ["name: letters and digits, with dots", "not '../x'"]),
    "a value that is no YAML": ("plan t.yaml --set seeds=[1", {}, ["--set seeds=[1: the value is no YAML: expected"]),
    "no slots of the quickstart": (
        "quickstart --slots 0",
        {},
        ["error: Invalid value for '--slots'", "quickstart --help"],
    ),
    "no slots": ("run t.yaml --slots 0", {}, ["--slots"]),
    "unknown command": ("rnu", {}, ["'rnu'", "run"]),
}


@pytest.mark.parametrize(("line", "changes", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_1(tailboard, tmp_path, line, changes, words):
    spec_file(tmp_path, **changes)
    idx_images(tmp_path / "cut")
    filled(tmp_path / "good")
    broken_plan(tmp_path)
    code, out, err = tailboard(*line.split())
    assert code == 1, err
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert all(word in err for word in words), err
    assert "Traceback" not in err


@pytest.mark.parametrize(("options", "words"), [([], []), (["--root", "gone"], ["gone/cifar10"])])
def test_missing_data_is_one_message_with_the_tree_and_the_command(tailboard, tmp_path, options, words):
    spec_file(tmp_path, data=["cifar10"])
    code, out, err = tailboard("run", "t.yaml", *options)
    assert (code, out) == (1, "")
    assert all(word in err for word in [*words, "cifar-10-batches-py", "tailboard data prepare cifar10", "Terms:"])
    assert "Traceback" not in err


def test_a_plan_that_fails_leaves_no_store(tailboard, tmp_path):
    spec_file(tmp_path, methods=["EMR"])
    tailboard("run", "t.yaml", "--store", "s")
    assert not (tmp_path / "s").exists()


def test_an_error_of_ours_is_not_hidden(monkeypatch, tailboard):
    """A bug must show where it is: the one-line manner is for the user's mistakes."""
    monkeypatch.setattr("tailboard.harness.cli.descriptions.listings.network_facts", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["tailboard", "list", "networks"])
    with pytest.raises(ZeroDivisionError):
        app.main()


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_an_interrupted_command_is_code_130_and_says_how_to_go_on(monkeypatch, tailboard, error):
    def stop():
        raise error

    monkeypatch.setattr("tailboard.harness.cli.descriptions.listings.network_facts", stop)
    code, out, err = tailboard("list", "networks")
    assert (code, out) == (130, "")
    assert err.strip() == "interrupted; the same command goes on where this one was"


def test_verified_data_is_code_0_and_other_data_3(tailboard, monkeypatch):
    assert tailboard("data", "verify", "fashion-mnist-mini")[0] == 0
    monkeypatch.setattr("tailboard.datasets.readers.embedded.SHA256", "sha256:0")
    code, out, _ = tailboard("data", "verify", "fashion-mnist-mini")
    assert code == 3
    assert "not verified" in out


def test_decoded_images_are_cleared_by_name_or_all(tailboard, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("folder-photos-1a", "cifar10-2b"):
        (tmp_path / "cache/tailboard/arrays" / name).mkdir(parents=True)
        (tmp_path / "cache/tailboard/arrays" / name / "train_images.npy").write_bytes(bytes(2**20))
    code, out, _ = tailboard("data", "clear", "folder:photos")
    assert code == 0 and "folder-photos-1a" in out and "1.0 MiB  removed" in out and "cifar10" not in out
    assert "cifar10-2b" in tailboard("data", "clear")[1] and "nothing is kept" in tailboard("data", "clear")[1]
    assert not any((tmp_path / "cache/tailboard/arrays").iterdir())


def test_the_list_of_data_sets_says_where_each_is_or_how_to_get_it(tailboard, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache/tailboard/eurosat/2750").mkdir(parents=True)
    facts = {each["name"]: each for each in json.loads(tailboard("data", "list", "--json")[1])}
    assert facts["eurosat"]["where"] == str(tmp_path / "cache/tailboard/eurosat")
    assert facts["cifar10"]["where"] == "tailboard data prepare cifar10" and facts["cifar10"]["test"] == 10000
    assert "kaggle competitions download" in facts["isic2020"]["where"] and "CC BY-NC" in facts["isic2020"]["terms"]
    assert json.loads(tailboard("data", "list", "--croissant", "eurosat")[1])["name"] == "eurosat"


def test_a_complete_store_is_not_trained_again(tailboard, tmp_path):
    """Everything is finished: the table at once, and Ray is never started."""
    filled(tmp_path / "runs" / "t")
    spec_file(tmp_path)
    code, out, err = tailboard("run", "t.yaml")
    assert code == 0
    assert "45.5 ± 0.5" in out
    assert {path.name.split(".")[1] for path in (tmp_path / "runs/t/report").iterdir()} == {"md", "tex", "csv", "json"}
    assert "4 of 4 trials are already finished" in err
    assert tailboard("run", "t.yaml", "--quiet") == (0, out, "")


def test_what_it_costs_is_said_where_an_hour_has_a_price(tailboard, tmp_path):
    store = filled(tmp_path / "s", resources={"price": 2.5})
    code, out, _ = tailboard("report", store)
    assert code == 0 and "device-hours (0.00 in money, at 2.5 an hour)" in out
    assert "in money" not in tailboard("report", filled(tmp_path / "free"))[1]
