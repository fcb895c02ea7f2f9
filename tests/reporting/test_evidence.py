"""What stands behind a row is what the record holds; the command that trains it again means the same trial; a report
is written as a page and as a site."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.harness.cli import report
from tailboard.harness.errors import ReportError
from tailboard.harness.registry.datasets import dataset
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.pages import html_pages
from tailboard.harness.reporting.pages.evidence import evidence, rerun
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": [10, 100]}],
    "methods": ["ERM", "Reweighting", {"name": "LDAM-DRW", "training": {"lr": 0.05}}],
    "network": "small",
    "training": {"epochs": 3},
    "seeds": 5,
}
COUNTS = (500, 300, 180, 108, 65, 39, 23, 14, 8, 5)
TESTS = tuple(range(30, 40))  # unequal, so that a share and a count cannot be mixed up
LOG = "Traceback (most recent call last):\n  <script>alert(1)</script>\nValueError: no"


pytestmark = pytest.mark.usefixtures("own_folder")


def right(trial: Trial) -> list[int]:
    """How many images of each class a trial classifies rightly, at random but always the same."""
    return np.random.default_rng(int(trial.key, 16)).integers(0, np.array(TESTS) + 1).tolist()


def filled(folder, fails=0, name="t") -> Store:
    """A store in which all trials are complete, but for the first ones."""
    store, spec = Store(folder), parse(SPEC | {"name": name})
    store.write_plan(spec)
    for place, trial in enumerate(plan(spec)):
        about = {"key": trial.key, "trial": trial, "counts": COUNTS, "test_counts": TESTS, "epochs": 3}
        about["data"] = Provenance(verified=True, hashes={}, fingerprint="0" * 64)
        about["environment"] = {"commit": "c0ffee", "packages": {"torch": "2.0"}, "processor": "slide rule"}
        if place < fails:
            store.write_record(Record(status="failed", reason="ValueError: no", log=LOG, **about))
            continue
        accuracy = tuple(100 * n / of for n, of in zip(right(trial), TESTS, strict=True))
        store.write_record(Record(status="complete", accuracy={"last_ema": accuracy}, values={"q": 1}, **about))
        curve = {"history_epoch": np.arange(3), "history_loss": np.array([3.0, np.nan, 1.0])}
        store.write_arrays(trial.key, curve | {"labels": np.zeros(4, dtype=np.int16)})
    return store


def test_it_is_what_the_records_hold(tmp_path):
    store = filled(tmp_path / "s", fails=1)
    failed, other, *_ = plan(parse(SPEC))
    found = evidence([store], [failed.key, other.key, "f" * 20, ""])
    assert set(found) == {failed.key, other.key}
    assert found[failed.key].log == LOG
    assert found[failed.key].right == ()
    one = found[other.key]
    assert (list(one.right), one.counts, one.tests) == (right(other), COUNTS, TESTS)
    assert one.groups == ("many",) * 4 + ("med",) * 3 + ("few",) * 3
    assert one.classes == dataset("fashion-mnist-mini").classes
    assert one.curve == ((1, 3.0), (3, 1.0))  # counted from 1; a loss that is not finite has no point
    assert one.facts == {"commit": "c0ffee", "processor": "slide rule", "packages": "torch 2.0"}


@pytest.mark.parametrize("damage", ["records", "arrays"])
def test_what_is_damaged_is_left_out(tmp_path, damage):
    store = filled(tmp_path)
    one = plan(parse(SPEC))[0]
    (path,) = (tmp_path / damage).glob(f"{one.key}.*")
    path.write_bytes(b"\x00 no")
    found = evidence([store], [one.key])
    assert [each.curve for each in found.values()] == ([] if damage == "records" else [()])


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
trainings = st.fixed_dictionaries(
    {"preset": st.sampled_from(["t5", "ldam2019"])},
    optional={"epochs": st.integers(1, 400), "lr": st.floats(1e-4, 1), "flip": st.booleans()},
)


@given(names, trainings, st.integers(0, 10**6), st.booleans(), st.integers(1, 4), st.dictionaries(names, names))
@settings(max_examples=40, deadline=None)
def test_the_command_means_the_same_trial(tmp_path_factory, name, training, seed, gpu, threads, values):
    folder = tmp_path_factory.mktemp("again")
    resources = {"cpu": threads} | ({"gpu": 1} if gpu else {})
    method = {"name": name, "values": values, "training": {"weight_decay": 0.003}}
    data = [{"name": "cifar10", "imbalance_factor": 0.1 + 1 / 0.3, "profile": "step", "head": 77}]
    spec = {"name": "t", "data": data, "network": "resnet32", "training": training, "seeds": [seed]}
    (trial,) = plan(parse(spec | {"methods": [method], "resources": resources}))
    command = str(seed).join(rerun(trial, "cuda" if gpu else "cpu"))
    writes, runs = command.rsplit(" && ", 1)
    subprocess.run(["sh", "-c", writes], cwd=folder, check=True)
    assert runs == "tailboard run again.yaml"
    assert [one.key for one in plan(read(folder / "again.yaml"))] == [trial.key]


def test_a_plugin_is_named_by_its_hash(tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    (trial,) = plan(parse(SPEC | {"data": "cifar10", "methods": [{"name": "X", "plugin": "mine.py"}], "seeds": [3]}))
    text = "3".join(rerun(trial))
    name = f"plugin-{trial.method.plugin[:8]}.py"
    assert f"plugin: {name}" in text
    Path("mine.py").rename(name)
    subprocess.run(["sh", "-c", text.rsplit(" && ", 1)[0]], check=True)
    assert plan(read("again.yaml"))[0].key == trial.key


def embedded(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(text.split('id="content">')[1].split("</script>")[0])


def behind(path: Path) -> list[dict]:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split('id="evidence">')[1].split("</script>")[0].split("\n")]


def test_report_writes_a_page_beside_the_table(tmp_path, capsys):
    filled(tmp_path / "s", fails=2)
    code = report.report(["s"], versus="ERM", uncertainty="ci95", html=Path("page.html"))
    assert code == 2  # as without a page: two cells are not complete
    assert "difference from ERM" in capsys.readouterr().out
    data = embedded(Path("page.html"))
    assert (data["title"], data["versus"], data["shots"], data["spread"]) == ("t", "ERM", [20, 100], "ci95")
    first = behind(Path("page.html"))[0]
    assert [trial["status"] for trial in first["trials"]] == ["failed"] * 2 + ["complete"] * 3
    assert first["trials"][0]["log"] == LOG
    assert first["curve"] == {"epoch": [1, 3], "loss": [3.0, 1.0]}


def test_the_same_store_gives_the_same_bytes(tmp_path):
    store = filled(tmp_path)
    board = gather([store])
    html_pages.write_page(html_pages.page_content(board, [store]), Path("a.html"))
    html_pages.write_page(html_pages.page_content(gather([store]), [store]), Path("b.html"))
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


@pytest.mark.slow
def test_a_site_is_a_page_for_each_store_and_an_index_that_finds_them(tmp_path):
    filled(tmp_path / "one" / "runs")
    filled(tmp_path / "two" / "runs", fails=1, name="u")
    Path("public").mkdir()
    Path("public", "CNAME").write_text("example.org")
    report.report(["one/runs", "two/runs"], site=Path("public"))
    index = Path("public/index.html").read_text(encoding="utf-8")
    links = [part.split('"')[0] for part in index.split('href="')[1:]]
    assert len(links) == 3 + 2 * 5
    assert all(Path("public", link).is_file() for link in links)  # relative, so that any host and folder will do
    assert "29 of 30" in index
    assert embedded(Path("public/runs/index.html"))["title"] == "t"
    assert embedded(Path("public/runs-2/index.html"))["title"] == "u"
    assert Path("public/CNAME").read_text() == "example.org"
    table = Path("public/runs/leaderboard.csv").read_text(encoding="utf-8")
    assert table == gather([Store("one/runs")]).rendered("csv")


@pytest.mark.slow
def test_the_files_of_a_site_say_what_was_asked_for_and_lack_only_what_a_store_lacks(tmp_path):
    store = filled(tmp_path / "a")
    Store(tmp_path / "b").write_plan(parse(SPEC | {"methods": ["Reweighting"], "name": "other"}))
    report.report(["a", "b"], versus="ERM", quote=True, uncertainty="std", site=Path("public"))
    text = Path("public/a/leaderboard.md").read_text(encoding="utf-8")
    assert text == gather([store]).rendered("md", "ERM", True, "std")
    assert "difference from ERM" in text
    assert "difference from" not in Path("public/b/leaderboard.md").read_text(encoding="utf-8")
    told = [embedded(Path(f"public/{name}/index.html")) for name in "ab"]
    assert [(one["versus"], one["spread"]) for one in told] == [("ERM", "std"), (None, "std")]
    index = Path("public/index.html").read_text(encoding="utf-8")
    assert "<dd>ERM</dd>" in index
    assert "<dd>nothing: no method ERM here</dd>" in index
    with pytest.raises(ReportError, match="no method 'ERN'"):
        report.report(["a", "b"], versus="ERN", site=Path("public"))


def test_a_store_may_be_called_as_the_index_is(tmp_path):
    filled(tmp_path / "index.html")
    report.report(["index.html"], site=Path("public"))
    assert 'href="index.html-2/index.html"' in Path("public/index.html").read_text(encoding="utf-8")
    assert embedded(Path("public/index.html-2/index.html"))["title"] == "t"


@pytest.mark.parametrize(("option", "place"), [("html", "public/index.html"), ("site", "public")])
def test_a_page_where_a_folder_stands_is_one_message(tmp_path, option, place):
    filled(tmp_path / "s")
    Path("public", "index.html").mkdir(parents=True)
    with pytest.raises(ReportError, match=f"--{option}: .*index.html is a folder"):
        report.report(["s"], **{option: Path(place)})


def test_a_method_that_is_not_there_is_one_message(tmp_path):
    store = filled(tmp_path)
    with pytest.raises(ReportError, match="did you mean 'ERM'"):
        html_pages.page_content(gather([store]), [store], html_pages.PageOptions("ERN"))
