"""One self-contained HTML file: no server, no network, and nothing in it that a name could break or run.

All that is shown comes from blocks of JSON and is set as text: one of the table, and a line of text for what stands
behind each of its lines, which is read where it is asked for. The policy lets the browser run only the scripts
whose hashes it names, and fetch nothing. Styles alone may be inline, since the charting library writes them.
"""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from ..formats.text import plain
from .data import content
from .figures import scrolled, sections
from .model import PageContent

FOLDER = Path(__file__).with_name("static")
SCRIPTS = (
    "data", "view", "cells", "paired", "texts", "rank", "table", "quoted", "behind", "confusion", "cards", "markup",
    "copy", "look", "axes", "charts", "studies", "drawn", "downloads", "main",
)  # fmt: skip


def html(subject: PageContent, library: str) -> str:
    """The page.

    Args:
        subject: What it shows.
        library: The source of plotly.js, which draws its charts; its licence is at its head.

    Returns:
        The whole file. The same subject and library give the same bytes.

    Raises:
        ValueError: if the rows are not tidy, `versus` is not among the methods, or the library's text would end its
            own element.
    """
    if "</script" in library.lower() or "<!--" in library:
        raise ValueError("the charting library cannot stand inside a page: it holds </script or <!--")
    scripts = "\n".join(read(f"{name}.js") for name in SCRIPTS)
    shown = content(subject)
    behind = "\n".join(embedded(line.pop("behind")) for line in shown["lines"])
    return Template(read("page.html")).substitute(
        title=escape(plain(subject.title)),
        policy=policy(scripts, library),
        style=read("page.css"),
        until=escape(plain(max((one.finished for one in subject.evidence.values()), default="")[:10])),
        further="\n".join(scrolled(table, "scroll further") for table in subject.further),
        figures=sections(subject.figures),
        data=embedded(shown),
        behind=behind,
        library=library,
        script=scripts,
    )


def policy(*scripts: str) -> str:
    """A Content-Security-Policy under which nothing is fetched and only these scripts run."""
    digests = " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    allowed = f"script-src {digests}" if scripts else "script-src 'none'"
    return (
        f"default-src 'none'; {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def embedded(data: object) -> str:
    """JSON that may stand inside a script element: it holds no < at all."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def read(name: str) -> str:
    """A file of the page's own, as text."""
    return (FOLDER / name).read_text(encoding="utf-8")
