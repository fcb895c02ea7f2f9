"""The wheel: what reaches the nodes of a cluster, and what a user installs."""

import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+).*\n((?:.*\n)*?)```$", re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_package_its_specs_its_data_and_the_licences_and_no_tests(wheel):
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


# From nothing to a published site: docs/first-site.md, as it is written


def block(page: str, language: str, first: str) -> str:
    """The block of a guide that begins so."""
    found = [text for word, text in FENCE.findall((ROOT / "docs" / page).read_text()) if word == language]
    (text,) = (text for text in found if text.startswith(first))
    return text


def dependencies(folder: Path) -> Path:
    """A folder of links to all that this interpreter has but tailboard, as if pip had fetched it."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "tailboard" not in path.name and path.suffix != ".pth" and not path.name.startswith(("pip", "_distutils")):
            (folder / path.name).symlink_to(path)
    return folder


class Links(HTMLParser):
    """The addresses that a page's links lead to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def test_nine_commands_lead_from_nothing_to_a_published_site(wheel, tmp_path):
    """With the dependencies of this interpreter, so that pip installs the wheel alone and fetches nothing."""
    commands = block("first-site.md", "sh", "python3 -m venv board").splitlines()
    assert len(commands) == 9
    *made, shown = commands
    (tmp_path / "hardest.py").write_text(block("method.md", "python", "# hardest.py"))
    (tmp_path / "mine.yaml").write_text(block("first-site.md", "yaml", "# mine.yaml"))
    (tmp_path / wheel.name).symlink_to(wheel)
    linked = dependencies(tmp_path / "fetched")
    packages = f"board/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    made.insert(1, f"echo {linked} > {packages}/fetched.pth")  # in place of what pip would fetch
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TAILBOARD", "PYTHON"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # fmt: skip
    script = "\n".join(["set -e", *made])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / packages / "tailboard/harness/cli/app.py").is_file()
    pages = sorted((tmp_path / "public").rglob("*.html"))
    assert [str(page.relative_to(tmp_path / "public")) for page in pages] == [
        "data.html", "index.html", "methods.html", "mine.zip/index.html",
    ]  # fmt: skip
    for page in pages:
        ours = [urlsplit(link) for link in Links(page).found if not urlsplit(link).scheme]
        assert [link for link in ours if not (page.parent / unquote(link.path)).exists()] == [], page
    assert "Hardest" in served(shown, tmp_path)


def served(command: str, folder: Path) -> str:
    """The front page as the last command shows it, on a port that is free here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command.replace("python3", sys.executable).replace("8000", str(port)).split()
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                        return answer.read().decode()
                except OSError:
                    time.sleep(0.1)
            return ""
        finally:
            server.terminate()
