"""The documentation: it builds without a broken link, and what it tells the reader to type works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from typer import Exit

from tailboard.harness.cli.app import app
from warm_process import WarmProcess

DOCS = Path(__file__).parents[2] / "docs"
PROSE = (DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md")
PAGES = (
    "start",
    "compare",
    "tune",
    "images",
    "tables",
    "model",
    "method",
    "publish",
    "report",
    "figures",
    "page",
    "tracking",
)  # in one folder, in this order
LANGUAGES = {"sh", "yaml", "python", "text"}
REASONS = {
    "installs", "downloads files", "minutes of training", "needs CIFAR-100 and hours", "needs a cluster",
    "needs a server", "run in a new environment",
}  # fmt: skip
FENCE = re.compile(r"^```(?P<info>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)


class Block(NamedTuple):
    language: str
    skip: str  # why it is not run
    text: str


def blocks(page: Path) -> list[Block]:
    found = [(each["info"].partition(" skip: "), each["text"]) for each in FENCE.finditer(page.read_text())]
    return [Block(language, reason, text) for (language, _, reason), text in found if not language.startswith("{")]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_block_says_what_it_is_and_why_it_is_not_run(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block
        assert not block.skip or block.skip in REASONS, block
        if block.language in ("sh", "python") and page.stem not in PAGES:
            assert block.skip, f"{page.stem} is not among the pages that are run: {block.text}"


def commands(page: Path) -> list[list[str]]:
    """The words after ``tailboard`` of each command in a page's blocks, those that are not run too."""
    found = []
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines() if block.language in ("", "sh") else ():
            words = shlex.split(line, comments=True)
            for at in (at for at, word in enumerate(words) if word == "tailboard"):
                found.append(list(takewhile(lambda word: word not in ("|", "&&", ">", "&"), words[at + 1 :])))
    return found


@pytest.mark.parametrize("page", [*PROSE, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.stem)
def test_every_command_is_one_that_the_command_line_takes(page):
    """Also those that are not run here, since they need a cluster, a server, hours or another's stores."""
    for words in filter(None, commands(page)):  # tailboard alone is a name there
        command, left = typer.main.get_command(app), list(words)
        while left and left[0] in getattr(command, "commands", ()):
            command = command.commands[left.pop(0)]
        with suppress(Exit):  # --version
            command.make_context("tailboard", left)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("myst_parser")
    words = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, tmp_path / "html"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "html/reference/commands.html").read_text()
    assert "tailboard run" in commands and "tailboard verify" in commands


@pytest.fixture(scope="module")
def reader(tmp_path_factory, shared_ray):
    """A folder, and a function that runs a block in it."""
    folder = tmp_path_factory.mktemp("reader")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILBOARD")} | shared_ray

    def started(words: list[str]) -> None:
        process = WarmProcess(words, folder, environment)
        said = process.communicate(timeout=300)
        assert process.returncode == 0, (words, *said)

    def run(block: Block) -> None:
        head = re.match(r"# (\S+\.(?:yaml|py))\n", block.text)
        if head:
            (folder / head[1]).write_text(block.text)
        elif block.language == "python":
            (folder / "typed.py").write_text(block.text)
            started(["typed.py"])
        for line in block.text.splitlines() if block.language == "sh" else ():
            if words := shlex.split(line, comments=True):
                assert words[0] == "tailboard", line
                started(words)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_guide_tells_to_type_works(page, reader):
    for block in blocks(DOCS / f"{page}.md"):
        if not block.skip:
            reader(block)
