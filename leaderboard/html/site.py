"""The pages around several boards, for any static host: the front page, and what the methods and data sets are.

They hold no script and ask no other server for anything; all links within the site are relative.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

from ..formats.text import plain
from ..shown_setting import data_in_setting
from ..tables.grid import plus_minus
from .board import Board, DataFacts, Standing
from .drawings import bars
from .model import MethodCard
from .page import policy, read

FORMS = {"csv": "CSV", "parquet": "Parquet", "json": "JSON", "md": "Markdown"}
PAGES = {"index.html": "Boards", "methods.html": "Methods", "data.html": "Data"}
MOST_BARS = 24  # of a thumbnail
ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Words:
    """What the keeper of a site says of it."""

    title: str = "Leaderboards"
    description: str = ""


def pages(boards: Sequence[Board], words: Words = Words(), croissant: Collection[str] = ()) -> dict[str, str]:
    """Each page of the site but the boards' own, by the name of its file.

    Args:
        boards: Its boards.
        words: What its keeper says of it.
        croissant: The data sets whose metadata lie in the folder ``croissant``.
    """
    bodies = {
        "index.html": _front(boards, words),
        "methods.html": _methods(boards),
        "data.html": _data(boards, croissant),
    }
    return {name: _page(name, words, body) for name, body in bodies.items()}


def _page(name: str, words: Words, body: str) -> str:
    here = ' aria-current="page"'
    links = [f'<a href="{file}"{here if file == name else ""}>{word}</a>' for file, word in PAGES.items()]
    title = escape(plain(words.title))
    return Template(read("site.html")).substitute(
        policy=policy(), style=read("page.css") + read("site.css"), links=" ".join(links), body=body, site=title,
        title=title if name == "index.html" else f"{PAGES[name]}: {title}",
    )  # fmt: skip


def _front(boards: Sequence[Board], words: Words) -> str:
    methods = len({one.method for board in boards for one in board.standings})
    until = max(board.until for board in boards)
    data = len({(facts.name, facts.setting) for board in boards for facts in board.data})
    counts = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in
                       ((len(boards), "board"), (methods, "method"), (data, "data set")))  # fmt: skip
    when = f" The last training ended on {escape(plain(until))}." if until else ""
    about = f"<p>{escape(plain(words.description))}</p>" if words.description else ""
    return (
        f"<h1>{escape(plain(words.title))}</h1>{about}<p>{counts}.{when}</p>"
        f"{_cards(map(_card, boards))}{read('submit.html')}"
    )


def _cards(articles: Iterable[str]) -> str:
    return f'<div class="cards">{"".join(articles)}</div>'


def _card(board: Board) -> str:
    first, files = board.first_tier, [
        f'<a href="{board.folder}/leaderboard.{form}">{name}</a>' for form, name in FORMS.items()
    ]  # fmt: skip
    files += [f'<a href="{board.folder}/bundle.zip">Bundle</a>'] if board.bundle else []
    shown = [standing for standing in board.standings if standing.mean is not None][:MOST_BARS]
    drawing = bars(
        [standing.mean or 0 for standing in shown],
        ["tier 1" if standing.tier == 1 else "the rest" for standing in shown],
        f"{board.column} of the best {len(shown)} methods, the best first",
    )
    best = "".join(f"<li>{_standing(standing)}</li>" for standing in first)
    tier = f"<p>First tier of {escape(board.column)}:</p><ul>{best}</ul>" if first else f"<p>{_untiered(board)}</p>"
    facts = {
        "Data": "; ".join(data_in_setting(facts.name, facts.setting) for facts in board.data),
        "Methods": str(len(board.standings)),
        "Trials finished": f"{board.finished} of {board.trials}",
        "Compared with": board.compared,
        "Figures and claims": "; ".join(board.figures),
    }
    return (
        f'<article class="card"><h2><a href="{board.folder}/index.html">{escape(board.title)}</a></h2>'
        f"{drawing if shown else ''}{tier}{_list(facts)}<p>Numbers: {' '.join(files)}</p></article>"
    )


def _untiered(board: Board) -> str:
    best = next((one for one in board.standings if one.mean is not None), None)
    return f"No tiers yet; the largest mean is {_standing(best)}." if best else "Nothing is finished yet."


def _standing(one: Standing) -> str:
    return escape(one.method if one.mean is None else f"{one.method}: {plus_minus(one.mean, float('nan'))}")


def _list(facts: dict[str, str], linked: Sequence[str] = ()) -> str:
    """A list of facts, of which those that are ``linked`` are HTML already."""
    return "<dl>" + "".join(
        f"<dt>{name}</dt><dd>{text if name in linked else escape(text)}</dd>" for name, text in facts.items() if text
    ) + "</dl>"  # fmt: skip


def _methods(boards: Sequence[Board]) -> str:
    names = dict.fromkeys(one.method for board in boards for one in board.standings)
    return f"<h1>Methods</h1>{_cards(_method(name, boards) for name in names)}"


def _method(name: str, boards: Sequence[Board]) -> str:
    card = next((board.cards[name] for board in boards if name in board.cards), MethodCard(""))
    places = [
        f'<a href="{board.folder}/index.html">{escape(board.title)}</a>: {escape(_place(one, board))}'
        for board in boards for one in board.standings if one.method == name
    ]  # fmt: skip
    facts = {
        "Paper": _linked(plain(card.source)),
        "Year": str(card.year or ""),
        "Parts": ", ".join(f"{slot}: {part}" for slot, part in card.parts.items()),
        "Cost of a step": f"{card.cost:g} of ERM's" if card.cost else "",
        "Stands": "<br>".join(places),
    }
    about = f'<p class="sentence">{escape(plain(card.description))}</p>' if card.description else ""
    return f'<article class="card"><h2>{escape(name)}</h2>{about}{_list(facts, ("Paper", "Stands"))}</article>'


def _place(standing: Standing, board: Board) -> str:
    if standing.mean is None:
        return "no number"
    words = [
        f"{plus_minus(standing.mean, float('nan'))} in {board.column}",
        f"tier {standing.tier}" if standing.tier else "",
    ]
    words += [f"a training costs {standing.cost:.3g} times ERM's on the same machine"] if standing.cost else []
    return ", ".join(filter(None, words))


def _linked(text: str) -> str:
    """Escaped, with each arXiv number as a link."""
    return ARXIV.sub(lambda match: f'<a href="https://arxiv.org/abs/{match[1]}" rel="noreferrer">{match[0]}</a>',
                     escape(text))  # fmt: skip


def _data(boards: Sequence[Board], croissant: Collection[str]) -> str:
    facts = {(one.name, one.setting, one.counts): one for board in boards for one in board.data}
    return f"<h1>Data</h1>{_cards(_data_set(one, boards, one.name in croissant) for one in facts.values())}"


def _data_set(data: DataFacts, boards: Sequence[Board], croissant: bool) -> str:
    links = [
        f'<a href="{board.folder}/index.html">{escape(board.title)}</a>' for board in boards
        if any((each.name, each.setting) == (data.name, data.setting) for each in board.data)
    ]  # fmt: skip
    facts = {
        "Source": _linked(plain(data.card.description)) if data.card else "",
        "Terms": data.card.terms if data.card else "",
        "Metadata": f'<a href="croissant/{escape(data.name)}.json">Croissant</a>' if croissant else "",
        "Boards": "<br>".join(links),
    }
    title = data_in_setting(data.name, data.setting)
    listed = _list(facts, ("Source", "Metadata", "Boards"))
    return f'<article class="card"><h2>{escape(title)}</h2>{_tail(data)}{listed}</article>'


def _tail(data: DataFacts) -> str:
    if not data.counts:
        return "<p>No trial is finished, so its counts are not known here.</p>"
    most, least = data.counts[0], data.counts[-1]
    factor = f"imbalance factor {most / least:.3g}" if least else f"a class without {data.examples}"
    sizes = (
        f"{sum(data.counts):,} training {data.examples} of {len(data.counts)} classes, from {most:,} down to {least:,} "
        f"({factor}); {data.tested:,} test {data.examples}."
    )
    title = f"Training {data.examples} of each class, from the largest on"
    return f"<p>{sizes}</p>{bars(data.counts, data.groups, title)}"
