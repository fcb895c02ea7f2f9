"""The import rules and manners of DESIGN.md section 2, checked on the source itself, at every depth."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("datasets", "methods", "leaderboard", "harness")
ROOMS = (  # of harness; each may import those before it
    "spec", "storage", "registry", "metrics", "training", "testing", "tuning", "planning", "scheduling", "tracking",
    "monitoring", "reporting", "bundles", "prediction", "driver", "api", "cli",
)  # fmt: skip
FILES = ("driver", "api")  # of the rooms, those that are a file
APART = {  # of the rooms before it, those that are none of its business
    "tracking": {"scheduling"},
    "monitoring": {"scheduling"},
    "reporting": {"scheduling", "tracking", "monitoring"},
    "bundles": {"scheduling", "tracking", "monitoring"},
    "prediction": {"scheduling", "tracking", "monitoring", "reporting", "bundles"},
}
LOOSE = ("errors", "memory", "text")  # files of harness itself, which any room may import
ONLY = {
    "ray": "harness/scheduling/ray_",
    "mlflow": "harness/tracking/mlflow_runs.py",
    "optuna": "harness/tuning/optuna_study.py",
    "matplotlib": "leaderboard/figures/",
}
# What may be kept away from a quick command by an import inside a function: these, and whatever imports one of them.
HEAVY = {
    "imagehash", "matplotlib", "mlflow", "numpy", "onnx", "optuna", "pandas", "plotly", "psutil", "pyarrow",
    "pydantic", "ray", "rich", "scipy", "safetensors", "sklearn", "tabulate", "timm", "torch", "torchvision",
}  # fmt: skip
VAGUE = {"utils.py", "base.py", "common.py", "misc.py", "helpers.py"}
LONGEST, LONGEST_TESTS, LONGEST_BODY, MOST_MODULES = 400, 600, 60, 14
PRINTS = {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write", "rich.print"}
PATHS = "harness/storage/paths.py"  # which alone spells a file in a store's folder
STORED = re.compile(
    r"\b(plans|searches|studies|records|rungs|arrays|weights|checkpoints|broken|tracked|tracking|silent|drivers"
    r"|damaged|report|plugins)/$"
)
KNOWN: dict[str, set[str]] = {}  # faults that are still to be mended; one that is mended must leave this table
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@cache
def modules() -> dict[str, str]:
    """Each module's place, by its dotted name below the house."""
    places = {str(path.relative_to(ROOT)): path for path in SOURCES} | {"__init__.py": ROOT / "__init__.py"}
    return {dotted(place): place for place in places}


def dotted(place: str) -> str:
    return ".".join(Path(place).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def imports(place: str, tree: ast.AST) -> Iterator[tuple[ast.AST, str, bool]]:
    """Each import as (statement, what it names, whether that is below the house): ``harness.spec.schema.Trial``."""
    package = Path(place).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1
            base = package[: len(package) - up] if node.level else ()
            parts = [*base, *([node.module] if node.module else [])]
            outside = node.level > 0 and up > len(package)
            for alias in node.names:
                yield node, "(outside)" if outside else ".".join([*parts, alias.name]), node.level > 0


def target(name: str) -> str:
    """The module that an import below the house names, or names something of."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


@cache
def graph() -> dict[str, set[str]]:
    """Which module of the house imports which, wherever in its text."""
    arrows = {}
    for name, place in modules().items():
        tree = ast.parse((ROOT / place).read_text())
        arrows[name] = {target(to) for _, to, ours in imports(place, tree) if ours} - {name}
    return arrows | {"": set()}  # the package hands names on when they are asked for


@cache
def heavy_modules() -> set[str]:
    """The modules of the house that import a heavy library, or one that does."""
    found = set()
    for name, place in modules().items():
        tree = ast.parse((ROOT / place).read_text())
        if any(to.split(".")[0] in HEAVY for _, to, ours in imports(place, tree) if not ours):
            found.add(name)
    while more := {name for name, to in graph().items() if to & found} - found:
        found |= more
    return found


def inner_imports(tree: ast.AST) -> set[ast.AST]:
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {n for f in functions for n in ast.walk(f) if isinstance(n, (ast.Import, ast.ImportFrom))}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of its body: options and docstring do not count."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def faults(place: str, text: str) -> list[str]:
    """What a file at ``place`` (such as ``methods/losses.py``) with this text does against the rules."""
    tree = ast.parse(text)
    found = [*import_faults(place, tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not place.startswith("harness/cli/") and ast.unparse(node.func) in PRINTS:
            found.append(f"prints at line {node.lineno}")
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and length(node) >= LONGEST_BODY:
            found.append(f"{node.name} is too long")
        if isinstance(node, ast.JoinedStr) and place.startswith("harness/") and place != PATHS and spells_path(node):
            found.append("spells a path of a store")
    if Path(place).name in VAGUE:
        found.append("its name says nothing")
    if len(text.splitlines()) > LONGEST:
        found.append(f"is longer than {LONGEST} lines")
    return list(dict.fromkeys(found))


def spells_path(text: ast.JoinedStr) -> bool:
    """Whether an f-string names a folder of a store right before something that is filled in."""
    before = [value.value for value in text.values[:-1] if isinstance(value, ast.Constant)]
    return any(STORED.search(str(value)) for value in before)


def import_faults(place: str, tree: ast.Module) -> Iterator[str]:
    folder, *inside = place.split("/")
    room = inside[0].removesuffix(".py") if folder == "harness" else ""
    inner = inner_imports(tree)
    for node, name, ours in imports(place, tree):
        first, second, *_ = *name.split("."), ""
        if not ours:
            if first == "tailboard" or first in FOLDERS:
                yield f"imports {name} absolutely"
            if first in ONLY and not place.startswith(ONLY[first]):
                yield f"imports {first}"
            if first == "torch" and folder == "leaderboard":
                yield "imports torch"
            if node in inner and first not in HEAVY:
                yield f"imports {first} in a function"
            continue
        if first not in (*FOLDERS, "UserError"):
            yield f"imports from outside the house: {name}"
        elif folder != "harness" and first in FOLDERS and first != folder:
            yield f"imports from {first}"
        elif room in ROOMS and first == "harness" and second not in (*LOOSE, room):
            if second not in ROOMS[: ROOMS.index(room)] or second in APART.get(room, ()):
                yield f"{room} imports {second}"
        elif room in LOOSE and first != "UserError":
            yield f"imports {name}"
        if node in inner and target(name) not in heavy_modules():
            yield f"imports {name} in a function"


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What a function's body holds, without the functions and classes inside of it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            yield node
            yield from own_nodes(node)


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a file, and the methods of these, whose names begin with no underscore."""
    for node in tree.body:
        for owned in (node, *(node.body if isinstance(node, ast.ClassDef) else ())):
            if isinstance(owned, (ast.FunctionDef, ast.ClassDef)) and not {node.name[0], owned.name[0]} & {"_"}:  # type: ignore[attr-defined]
                yield owned


@cache
def contracts() -> set[str]:
    """The methods of Protocols, of Part and of torch's modules: who keeps one need not say again what it does."""
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    kinds = [node for node in classes if node.name == "Part" or any("Protocol" in ast.unparse(b) for b in node.bases)]
    methods = [node for kind in kinds for node in kind.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in methods if ast.get_docstring(node)} | {"forward"}


def unsaid(node: ast.FunctionDef | ast.ClassDef, is_command: bool = False) -> Iterator[str]:
    """What its docstring leaves out: a command's is the help that a user sees."""
    said = ast.get_docstring(node)
    if said is None:
        is_setter = any(ast.unparse(by).endswith(".setter") for by in node.decorator_list)
        if not is_setter and node.name not in contracts():
            yield f"{node.name} does not say what it is"
        return
    if isinstance(node, ast.ClassDef) or is_command:
        return
    parameters = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if len([name for name in parameters if name not in ("self", "cls")]) >= 3 and not (
        "Args:" in said or re.match(r"As in :\w+:`", said)
    ):
        yield f"{node.name} does not say what it is given"
    raised = [n.exc.func if isinstance(n.exc, ast.Call) else n.exc for n in own_nodes(node) if isinstance(n, ast.Raise)]
    errors = {ast.unparse(error).split(".")[-1] for error in raised if error is not None}
    yield from (f"{node.name} does not name {e}" for e in sorted(errors) if e[0].isupper() and e not in said)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_rules(path):
    place = str(path.relative_to(ROOT))
    assert set(faults(place, path.read_text())) == KNOWN.get(place, set())


@pytest.mark.parametrize(
    ("place", "text", "fault"),
    [
        ("methods/x.py", "from ..datasets.split import Split", "imports from datasets"),
        ("datasets/x.py", "from ..harness import cli", "imports from harness"),
        ("datasets/readers/x.py", "from ...methods import part", "imports from methods"),
        ("leaderboard/x.py", "def f():\n    from .. import methods", "imports from methods"),
        ("leaderboard/x.py", "import torch.nn", "imports torch"),
        ("harness/cli/x.py", "from ray import tune", "imports ray"),
        ("harness/cli/x.py", "import mlflow", "imports mlflow"),
        ("harness/scheduling/ray_tune.py", "import mlflow", "imports mlflow"),
        ("leaderboard/tables/x.py", "import matplotlib.pyplot", "imports matplotlib"),
        ("harness/cli/x.py", "from tailboard.harness import spec", "imports tailboard.harness.spec absolutely"),
        ("harness/cli/x.py", "import datasets", "imports datasets absolutely"),
        ("harness/cli/x.py", "from .... import x", "imports from outside the house: (outside)"),
        ("harness/spec/x.py", "from ..storage.store import Store", "spec imports storage"),
        ("harness/spec/x.py", "from .. import storage", "spec imports storage"),
        ("harness/reporting/x.py", "from ..monitoring.status import f", "reporting imports monitoring"),
        ("harness/tracking/x.py", "from ..scheduling import queue", "tracking imports scheduling"),
        ("harness/errors.py", "from .spec import schema", "imports harness.spec.schema"),
        ("harness/spec/x.py", "from ..api import run", "spec imports api"),
        ("harness/api.py", "from .cli import app", "api imports cli"),
        ("harness/bundles/x.py", "print(1)", "prints at line 1"),
        ("harness/cli/x.py", "def f():\n    from ..spec import presets", "imports harness.spec.presets in a function"),
        ("harness/cli/x.py", "def f():\n    import yaml", "imports yaml in a function"),
        ("harness/cli/x.py", "def f():\n    import shutil", "imports shutil in a function"),
        ("harness/cli/x.py", "f'{store}/arrays/{key}.npz'", "spells a path of a store"),
        ("methods/utils.py", "", "its name says nothing"),
        ("methods/x.py", "\n" * 401, "is longer than 400 lines"),
        ("methods/x.py", "def f():\n" + "    f()\n" * 60, "f is too long"),
    ],
)
def test_an_offending_source_is_found(place, text, fault):
    assert fault in faults(place, text)


def test_public_functions_and_classes_state_what_they_do_are_given_and_raise():
    """All have a docstring; one with three parameters or more has Args; the errors that a body raises are named."""
    said = {
        str(path.relative_to(ROOT)): words
        for path in SOURCES
        if (
            words := [
                w for node in public(ast.parse(path.read_text())) for w in unsaid(node, path.parent.name == "cli")
            ]
        )
    }
    assert said == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("def f(): ...", "f does not say what it is"),
        ("class C:\n    'A class.'\n    def m(self): ...", "m does not say what it is"),
        ("def f(a, b, c):\n    'Adds.'", "f does not say what it is given"),
        ("def f():\n    'Fails.'\n    raise errors.SpecError('x')", "f does not name SpecError"),
    ],
)
def test_what_a_docstring_leaves_out_is_found(text, fault):
    assert fault in [words for node in public(ast.parse(text)) for words in unsaid(node)]


def test_options_and_docstring_of_a_command_do_not_count():
    text = (
        "def f(\n"
        + "".join(f"    a{i}=1,\n" for i in range(60))
        + "):\n"
        + '    """\n'
        + "\n" * 60
        + '    """\n    f()\n'
    )
    assert faults("harness/cli/x.py", text) == []


def test_no_module_imports_itself_through_others():
    below: dict[str, int] = {}  # 0 while it is looked at, 1 afterwards

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert below.get(name) != 0, " -> ".join([*path[path.index(name) :], name])
        if name not in below:
            below[name] = 0
            for to in sorted(graph()[name]):
                visit(to, (*path, name))
            below[name] = 1

    for name in graph():
        visit(name, ())


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in FILES])
def test_a_room_hands_nothing_on(room):
    assert (ROOT / "harness" / room / "__init__.py").read_text() == ""


def test_harness_is_made_of_these_rooms():
    assert {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")} == {*ROOMS} - {*FILES}
    assert {path.stem for path in (ROOT / "harness").glob("*.py")} == {"__init__", *FILES, *LOOSE}


def test_a_folder_can_be_overlooked():
    folders = {path.parent for path in (*SOURCES, *(ROOT / "benchmarks").rglob("*.py"))}
    sizes = {str(f.relative_to(ROOT)): len({*f.glob("*.py")} - {f / "__init__.py"}) for f in folders}
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_nothing_else_stands_at_the_root():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_every_folder_is_packaged():
    packages = {
        ".".join(("tailboard", *path.parent.relative_to(ROOT).parts)) for path in SOURCES if path.stem == "__init__"
    }
    text = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r'^    "(tailboard[\w.]*)"', text, re.MULTILINE)) == packages | {"tailboard"}
    assert {path.parent for path in SOURCES} == {path.parent for path in SOURCES if path.stem == "__init__"}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_tests_import_the_installed_package_and_are_not_too_long(path):
    text = path.read_text()
    found = [name for _, name, ours in imports(str(path.relative_to(ROOT)), ast.parse(text)) if not ours]
    assert [name for name in found if name.split(".")[0] in FOLDERS] == []
    assert len(text.splitlines()) <= LONGEST_TESTS


def test_no_two_test_files_have_one_name():
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import tailboard", "torch ray mlflow pandas numpy pydantic"),
        ("import tailboard.harness.spec.schema, tailboard.harness.spec.parser", "torch ray mlflow pandas"),
        (
            "from tailboard.harness.spec import schema, parser; schema.plan(parser.read('quickstart'))",
            "torch ray mlflow",
        ),
        ("import tailboard.leaderboard.formats.markdown, tailboard.leaderboard.statistics", "torch ray mlflow"),
        ("import tailboard.harness.reporting.gather", "torch ray mlflow optuna"),
        (
            "from tailboard.methods.deferred_torch import defer_torch, end_deferral; defer_torch(); "
            "import tailboard.harness.driver; end_deferral()",
            "torch ray mlflow optuna pandas scipy sklearn",
        ),
        ("import tailboard.harness.cli.app", "torch ray mlflow pandas numpy"),
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(code, heavy):
    check = f"{code}; import sys; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
