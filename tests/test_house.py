"""The import rules and manners of DESIGN.md section 2, checked on the source itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("datasets", "methods", "leaderboard", "harness")
LONGEST = {"datasets": 200, "methods": 210, "leaderboard": 200, "harness": 260}  # lines; a file holds one idea
ONLY = {"ray": "harness/sweep.py", "mlflow": "harness/tracking.py", "optuna": "harness/study.py"}
TERMINAL = {"harness/cli.py", "harness/cli_data.py", "harness/cli_results.py", "harness/terminal.py"}  # what may print
VAGUE = {"utils.py", "base.py", "common.py", "misc.py", "helpers.py"}
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each import as (level, dotted module): level 0 is absolute, 1 is one's own folder, 2 is the house."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, f"{node.module}.{a.name}" if node.module else a.name) for a in node.names)


def faults(place: str, text: str) -> list[str]:
    """What a file at ``place`` (such as ``methods/losses.py``) with this text does against the rules."""
    folder, name = place.split("/")
    tree, found = ast.parse(text), []
    for level, module in imports(tree):
        first = module.split(".")[0]
        if level == 0 and (first == "tailboard" or first in FOLDERS):
            found.append(f"imports {module} absolutely")
        if level == 0 and first in ONLY and ONLY[first] != place:
            found.append(f"imports {first}")
        if level == 0 and first == "torch" and folder == "leaderboard":
            found.append("imports torch")
        if level == 2 and folder != "harness" and first in FOLDERS:
            found.append(f"imports from {first}")
        if level > 2:
            found.append(f"imports from outside the house: {module}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and place not in TERMINAL and ast.unparse(node.func) in PRINTS:
            found.append(f"prints at line {node.lineno}")
    if name in VAGUE:
        found.append("its name says nothing")
    if len(text.splitlines()) > LONGEST[folder]:
        found.append(f"is longer than {LONGEST[folder]} lines")
    return found


PRINTS = {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write", "rich.print"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_file_keeps_the_rules(path):
    assert faults(f"{path.parent.name}/{path.name}", path.read_text()) == []


@pytest.mark.parametrize(
    ("place", "text", "fault"),
    [
        ("methods/x.py", "from ..datasets.split import Split", "imports from datasets"),
        ("datasets/x.py", "from ..harness import cli", "imports from harness"),
        ("leaderboard/x.py", "def f():\n    from .. import methods", "imports from methods"),
        ("leaderboard/x.py", "import torch.nn", "imports torch"),
        ("harness/x.py", "from ray import tune", "imports ray"),
        ("harness/x.py", "import mlflow", "imports mlflow"),
        ("harness/sweep.py", "import mlflow", "imports mlflow"),
        ("harness/x.py", "from tailboard.harness import spec", "imports tailboard.harness.spec absolutely"),
        ("harness/x.py", "import datasets", "imports datasets absolutely"),
        ("harness/x.py", "print(1)", "prints at line 1"),
        ("methods/utils.py", "", "its name says nothing"),
        ("methods/x.py", "\n" * 400, "is longer than 210 lines"),
    ],
)
def test_an_offending_source_is_found(place, text, fault):
    assert fault in faults(place, text)


def test_nothing_else_stands_at_the_root():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=lambda path: path.name)
def test_tests_import_the_installed_package(path):
    found = [module for level, module in imports(ast.parse(path.read_text())) if level == 0]
    assert [module for module in found if module.split(".")[0] in FOLDERS] == []


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import tailboard.harness.spec, tailboard.harness.specfile", "torch ray mlflow pandas"),
        ("from tailboard.harness import spec, specfile; spec.plan(specfile.read('quickstart'))", "torch ray mlflow"),
        ("import tailboard.leaderboard.report, tailboard.leaderboard.statistics", "torch ray mlflow"),
        ("import tailboard.harness.cli", "torch ray mlflow pandas numpy"),
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(code, heavy):
    check = f"{code}; import sys; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
