"""`tailboard submit` and `publish`: what holds is put under its SHA-256, and nothing else is put anywhere."""

from __future__ import annotations

import json
import math
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results
from typer.testing import CliRunner

from forged_bundles import Forger, number_sealed
from tailboard import UserError
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.cli.app import app
from tailboard.harness.reporting import gather
from tailboard.leaderboard.results import summarise


def command(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def git(place: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", place, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path) -> Path:
    place = tmp_path / "clone"
    place.mkdir()
    git(place, "init", "--quiet", "-b", "main")
    git(place, "config", "user.name", "a")
    git(place, "config", "user.email", "a@b")
    git(place, "commit", "--quiet", "--allow-empty", "-m", "first")
    return place


def test_a_bundle_goes_under_its_hash_with_its_numbers(bundle, tmp_path):
    goal = tmp_path / "board"
    assert command("submit", bundle, "--to", goal).exit_code == 0
    digest = Bundle(bundle).digest
    assert {path.name for path in goal.iterdir()} == {f"{digest}.zip", f"{digest}.json"}
    assert (goal / f"{digest}.zip").read_bytes() == bundle.read_bytes()
    summary = json.loads((goal / f"{digest}.json").read_text())
    report = gather.gather([Bundle(bundle)])
    means = summarise(report.rows)["mean"]
    assert [cell["mean"] for cell in summary["cells"]] == [None if math.isnan(mean) else mean for mean in means]
    assert summary["sha256"] == digest and summary["complete"] and len(summary["plugins"]) == 1
    again = command("submit", bundle, "--to", goal)
    assert again.exit_code == 0 and "already" in again.output


def test_a_clone_gets_a_branch_and_what_is_checked_out_stays(bundle, clone):
    (clone / "mine.txt").write_text("not committed")
    assert command("submit", bundle, "--to", clone).exit_code == 0
    digest = Bundle(bundle).digest
    branch = f"submit-{digest[:12]}"
    assert git(clone, "ls-tree", "-r", "--name-only", branch) == f"bundles/{digest}.json\nbundles/{digest}.zip"
    assert git(clone, "branch", "--show-current") == "main" and git(clone, "status", "--short") == "?? mine.txt"
    assert len(git(clone, "worktree", "list").splitlines()) == 1
    assert "already" in command("submit", bundle, "--to", clone).output


def test_what_is_not_on_this_machine_is_refused_in_one_line(bundle, tmp_path):
    file, bare, empty = tmp_path / "file", tmp_path / "bare.git", tmp_path / "empty"
    file.touch()
    git(tmp_path, "init", "--quiet", "--bare", bare)
    git(tmp_path, "init", "--quiet", empty)
    for goal, said in (
        ("https://github.com/a/b", "git clone it"),
        ("git@github.com:a/b", "git clone it"),
        (file, "is a file"),
        (bare, "git clone it"),
        (empty, "no commit yet"),
    ):
        error = command("submit", bundle, "--to", goal).exception
        assert isinstance(error, UserError) and said in str(error)


def test_a_git_that_refuses_leaves_no_branch(bundle, clone):
    hook = clone / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    error = command("submit", bundle, "--to", clone).exception
    assert isinstance(error, UserError) and "not today" in str(error)
    assert git(clone, "branch", "--list") == "* main" and len(git(clone, "worktree", "list").splitlines()) == 1


def test_a_link_in_the_repository_is_not_followed(bundle, clone, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (clone / "bundles").symlink_to(tmp_path / "elsewhere")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "link")
    error = command("submit", bundle, "--to", clone).exception
    assert isinstance(error, UserError) and "link" in str(error)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_bundle_that_does_not_hold_is_put_nowhere(bundle, tmp_path):
    forger = Forger(bundle)
    number_sealed(forger)
    changed = forger.write(tmp_path / "changed.zip")
    done = command("submit", changed, "--to", tmp_path / "board")
    assert "does not hold, and was not put anywhere" in done.output and "accuracy.last_ema" in done.output
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in [*old.infolist(), zipfile.ZipInfo("../../escape.py")]:
            new.writestr(entry, b"" if "escape" in entry.filename else old.read(entry))
    for words in (["submit", changed, "--to", tmp_path / "board"], ["publish", changed, "--hf", tmp_path / "r.yaml"]):
        error = command(*words).exception
        assert isinstance(error, UserError) and "climbs out" in str(error)
    assert not (tmp_path / "board").exists() and not (tmp_path / "r.yaml").exists()


def test_a_site_offers_the_bundle_and_what_its_data_are(bundle, tmp_path):
    site = tmp_path / "site"
    assert command("report", bundle, "--site", site).exit_code == 0
    assert (site / "b.zip/bundle.zip").read_bytes() == bundle.read_bytes()
    assert json.loads((site / "croissant/fashion-mnist-mini.json").read_text())["name"] == "fashion-mnist-mini"
    for page in site.glob("*.html"):
        links = re.findall(r'href="([^"#]+)', page.read_text())
        local = [link for link in links if not link.startswith("https://arxiv.org/abs/")]
        assert local and all((site / link).is_file() for link in local), page
    assert "b.zip/bundle.zip" in (site / "index.html").read_text()
    assert "croissant/fashion-mnist-mini.json" in (site / "data.html").read_text()


def test_hugging_face_reads_the_results(bundle, tmp_path):
    goal = tmp_path / "results.yaml"
    assert command("publish", bundle, "--hf", goal, "--method", "Reweighting").exit_code == 0
    name, results = model_index_to_eval_results(yaml.safe_load(goal.read_text())["model-index"])
    rows = summarise(gather.gather([Bundle(bundle)]).rows)
    cell = rows[(rows["method"] == "Reweighting") & (rows["group"] == "all")].iloc[0]
    assert name == "Reweighting" and "All" in str(results[0].metric_name)
    assert results[0].metric_value == cell["mean"] and results[0].metric_args["seeds"] == 2
    error = command("publish", bundle, "--hf", goal, "--method", "Reweightng").exception
    assert isinstance(error, UserError) and "Reweighting" in str(error)
