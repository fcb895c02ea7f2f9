"""The index of several pages, for any static host: a table of links and what is behind each."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template

from ..formats.text import plain
from ..results import TRIAL
from .model import PageContent
from .page import policy, read

FORMS = {"csv": "CSV", "json": "JSON", "md": "Markdown"}


@dataclass(frozen=True)
class Entry:
    """A report of the index: the folder that it is in, its title, what it compares, and how much of it is finished,
    and the method that it opens compared with."""

    folder: str
    title: str
    data: str
    methods: int
    finished: int
    trials: int
    compared: str


def entry(folder: str, subject: PageContent, versus: str | None = None) -> Entry:
    """What the index says of a page. `folder` is relative to the index, of letters, digits, dots and dashes; `versus`
    is the method that all were to be compared with, which the page may lack."""
    rows = subject.rows
    trials = rows.drop_duplicates(TRIAL)
    data = rows[["dataset", "setting"]].drop_duplicates()
    return Entry(
        folder,
        f"{plain(subject.title)} ({folder})",
        "; ".join(plain(f"{dataset}, {setting}") for dataset, setting in data.itertuples(index=False)),
        methods=rows["method"].nunique(),
        finished=int((trials["status"] == "complete").sum()),
        trials=len(trials),
        compared=plain(subject.versus or (f"nothing: no method {versus} here" if versus else "nothing")),
    )


def index(entries: Sequence[Entry]) -> str:
    """The index as one HTML file without scripts; names are escaped."""
    return Template(read("index.html")).substitute(
        policy=policy(), style=read("page.css"), rows="\n".join(map(_row, entries))
    )


def _row(entry: Entry) -> str:
    files = " ".join(f'<a href="{entry.folder}/leaderboard.{form}">{name}</a>' for form, name in FORMS.items())
    texts = [entry.data, str(entry.methods), f"{entry.finished} of {entry.trials}", entry.compared]
    cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
    name = f'<th scope="row"><a href="{entry.folder}/index.html">{escape(entry.title)}</a></th>'
    return f"<tr>{name}{cells}<td>{files}</td></tr>"
