"""What ``data inspect`` found, as one page with sample images of each class; it has no script and asks no server."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from ....datasets.catalog import DataError
from ....datasets.user_images.near_duplicates import LACKING
from ....datasets.user_images.scan import READERS
from ....datasets.user_images.source import Source
from ....leaderboard.formats.text import plain
from ....leaderboard.html.page import policy, read
from ...errors import ReportError

SAMPLES = 8  # images of a class, evenly spread over it
SHOWN = 100  # classes with samples and bars; of more, the largest half and the smallest half of so many
SIDE = 96  # pixels of a sample
HEIGHT = 180  # of the chart
STYLE = """
.samples { margin: 0.2rem 0; display: flex; flex-wrap: wrap; gap: 4px; }
.samples img { width: 72px; height: 72px; object-fit: contain; background: var(--raised); }
svg.tail { width: 100%; height: 200px; }
svg.tail rect { fill: var(--mark); }
li { overflow-wrap: anywhere; }
section.class { border-top: 1px solid var(--rule); padding: 0.4rem 0; }
"""
PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>$title</title><style>$style</style></head>
<body><header><h1>$title</h1></header><main>
$body</main>
<footer class="small">Written by tailboard. This file holds all that it shows and asks no server for anything. It shows
images of yours: publish it as you would publish them.</footer></body></html>
""")


def write(facts: Mapping[str, Any], source: Source, path: Path) -> None:
    """Write the page.

    Args:
        facts: What was found (see ``inspect.inspected``).
        source: Where the images are.
        path: The file.

    Raises:
        ReportError: where a folder stands there.
    """
    if path.is_dir():
        raise ReportError(f"--html: {path} is a folder; the page is a file")
    body = "\n".join([*_summary(facts), _chart(facts["classes"]), *_findings(facts), *_classes(facts, source)])
    title = escape(plain(f"{facts['name']}: {facts['images']:,} images of {len(facts['classes']):,} classes"))
    page = PAGE.substitute(policy=policy(), title=title, style=read("page.css") + STYLE, body=body)
    path.write_text(page, encoding="utf-8", newline="\n")


def _summary(facts: Mapping[str, Any]) -> Iterator[str]:
    ready = "Ready to be trained on." if facts["ready"] else f"Not ready: {facts['reason']}"
    balanced = "balanced" if facts.get("balanced_test") else "not balanced"
    sentences = [
        ready,
        f"Imbalance factor {facts['factor']:g}; the test set is {balanced}." if facts["ready"] else "",
        *(
            f"{what.capitalize()}: " + ", ".join(f"{name} ({count:,})" for name, count in facts[what].items()) + "."
            for what in ("sizes", "modes")
        ),
        f"{facts['groups']:,} groups of images that belong together." if facts["groups"] else "",
        *(f"{note[:1].upper()}{note[1:]}." for note in (*facts["notes"], facts.get("validation", "")) if note),
    ]
    yield _list(filter(None, sentences))
    if facts.get("metrics"):
        yield "<h2>Metrics that make sense here</h2>" + _list(
            f"{name}: {why}" for name, why in facts["metrics"].items()
        )


def _list(sentences: Any) -> str:
    return "<ul>" + "".join(f"<li>{escape(plain(sentence))}</li>" for sentence in sentences) + "</ul>"


def _shown(classes: Sequence[Any]) -> list[int]:
    """Which classes are shown: all, or those with the most and the fewest images."""
    if len(classes) <= SHOWN:
        return list(range(len(classes)))
    return [*range(SHOWN // 2), *range(len(classes) - SHOWN // 2, len(classes))]


def _images(row: Mapping[str, Any]) -> int:
    return row.get("train", row.get("images", 0))


def _chart(classes: Sequence[Mapping[str, Any]]) -> str:
    """The training images of each class as bars, in the order of the tail; each says its numbers under the pointer."""
    shown, most = _shown(classes), max(map(_images, classes), default=1) or 1
    bars = []
    for place, number in enumerate(shown):
        row = classes[number]
        height = max(1.0, HEIGHT * _images(row) / most)
        words = escape(plain(f"{row['class']}: {_words(row)}"))
        at = f'x="{10 * place}" y="{HEIGHT - height:.1f}" width="8" height="{height:.1f}"'
        bars.append(f"<rect {at}><title>{words}</title></rect>")
    return (
        f'<h2>The tail</h2><p class="small">Training images of each class, the largest {most:,}.</p>'
        f'<svg class="tail" viewBox="0 0 {max(60, 10 * len(shown))} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Training images of each class">{"".join(bars)}</svg>'
    )


def _words(row: Mapping[str, Any]) -> str:
    parts = {"train": "training images", "test": "test images", "images": "images"}
    said = [f"{row[part]:,} {words}" for part, words in parts.items() if part in row]
    return ", ".join([*said, *([row["shots"]] if "shots" in row else [])])


def _findings(facts: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong or suspicious, each kind with what it concerns."""
    headings = {
        "copies": "Copies: the same bytes",
        "conflicts": "Copies with several labels",
        "leaks": "Copies in training and test images both",
        "near_duplicates": "Images that look alike",
        "near_leaks": "Images that look alike, in training and test images both",
    }
    for kind, heading in headings.items():
        if facts[kind]:
            yield f"<h2>{heading}</h2>" + _list(", ".join(names) for names in facts[kind])
    if facts["near_duplicates"] is None:
        yield _list([LACKING])
    if facts["unreadable"]:
        yield f"<h2>{facts['unreadable_files']:,} files cannot be used</h2>" + _list(facts["unreadable"])


def _classes(facts: Mapping[str, Any], source: Source) -> Iterator[str]:
    """Each class with some of its images."""
    listing = READERS[source.kind](source)
    members: dict[str, list[int]] = {}
    for position, item in enumerate(listing.items):
        members.setdefault(item.label, []).append(position)
    shown = [facts["classes"][number] for number in _shown(facts["classes"])]
    left_out = len(facts["classes"]) - len(shown)
    more = f'<p class="small">{left_out:,} classes between the largest and the smallest are left out.</p>'
    yield "<h2>Classes</h2>" + (more if left_out else "")
    for row in shown:
        of = members.get(str(row["class"]), [])
        chosen = of[:: max(1, -(-len(of) // SAMPLES))]
        images = zip(chosen, listing.thumbnails(chosen, SIDE), strict=True)
        pictures = "".join(_picture(image, listing.items[position].name) for position, image in images)
        heading = f'<b>{escape(plain(str(row["class"])))}</b> <span class="small">{escape(_words(row))}</span>'
        yield f'<section class="class">{heading}<div class="samples">{pictures}</div></section>'


def _picture(image: Image.Image | DataError, name: str) -> str:
    if isinstance(image, DataError):
        return ""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    words = escape(plain(name), quote=True)
    return (
        f'<img src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}" alt="{words}" title="{words}">'
    )
