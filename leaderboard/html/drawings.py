"""Small drawings that need no script: bars in SVG, for a page that stays as it is."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 600, 150


def bars(values: Sequence[float], words: Sequence[str], said: str) -> str:
    """A bar for each value, side by side, from zero to the largest.

    Args:
        values: What the heights are in proportion to.
        words: The class of each bar, by which the style colours it; the first of each is named below.
        said: What a screen reader says of it.
    """
    step, top = WIDTH / max(len(values), 1), max([*values, 1e-9])
    gap = 2 if step > 6 else 0
    drawn = [
        f'<rect x="{place * step:.1f}" y="{HEIGHT - tall:.1f}" width="{max(step - gap, 0.5):.1f}" height="{tall:.1f}" '
        f'class="bar-{escape(word)}"/>'
        for place, (tall, word) in enumerate(zip((HEIGHT * value / top for value in values), words, strict=True))
    ]
    firsts = {word: place for place, word in reversed(list(enumerate(words)))}
    named = [
        f'<text x="{place * step:.1f}" y="{HEIGHT + 18}">{escape(word.capitalize())} ({list(words).count(word)})</text>'
        for word, place in firsts.items()
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 24}" class="bars" role="img" aria-label="{escape(said)}">'
        f"{''.join([*drawn, *named])}</svg>"
    )
