"""What reaches the nodes of a cluster: the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_the_package_its_specs_its_data_and_the_licences_and_no_tests(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folders = ("harness", "methods", "datasets", "leaderboard")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    data = [
        *ROOT.glob("harness/spec/specs/*.yaml"),
        *ROOT.glob("datasets/embedded_data/*"),
        *ROOT.glob("leaderboard/published/*.csv"),
    ]
    data += ROOT.glob("leaderboard/html/static/*")
    assert {f"tailboard/{path.relative_to(ROOT)}" for path in (*sources, *data)} <= names
    assert sum("/licenses/" in name for name in names) == 2
    assert {name.split("/")[0] for name in names} == {"tailboard", wheel.name.split("-py3")[0] + ".dist-info"}
    assert not [name for name in names if name.split("/")[1] in ("tests", "benchmarks", "docs", "deploy")]
