"""The charts of the page: who is coloured, the Pareto front, and what they save as."""

import csv
import io
import xml.etree.ElementTree as ET

import pytest

from page_boards import board
from page_content import ROWS, SETTINGS
from page_tabs import NO_CHARTS, browsing, drawn, until
from tailboard.leaderboard.html.page import read

COLOURED = "() => [...document.querySelectorAll('#body tr')].map((row) => coloured.has(methodOf(row.cells[1])))"


def light(colour):
    return sum(
        share * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
        for share, value in zip(
            (0.2126, 0.7152, 0.0722), (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), strict=True
        )
    )


def test_twenty_colours_differ_and_are_seen_on_both_grounds():
    text = read("look.js")
    colours = text[text.index("COLOURS = [") : text.index("]")].split('"')[1::2]
    assert len(set(colours)) == 20
    for ground in ("#ffffff", "#14171b"):
        assert ground in read("page.css")
        for colour in colours:
            high, low = sorted((light(colour), light(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3, (colour, ground)  # WCAG 2.2, 1.4.11


class TestInABrowser:
    pytestmark = browsing

    def test_twenty_are_coloured_and_the_rest_grey_until_chosen(self, elsewhere):
        tab = elsewhere(board(24))
        assert tab.evaluate(COLOURED) == [True] * 20 + [False] * 4
        looks = "() => [...coloured].map(lookOf).map(({ marker }) => `${marker.color} ${marker.symbol}`)"
        assert len(set(tab.evaluate(looks))) == 20
        before = tab.evaluate("lookOf(methodOf(document.querySelector('#body tr').cells[1]))")
        tab.locator("#body .look").nth(22).click()
        assert tab.evaluate(COLOURED) == [False] * 22 + [True, False]
        tab.locator("#body .look").nth(0).click()
        assert tab.evaluate(COLOURED) == [True, *[False] * 21, True, False]
        assert tab.evaluate("lookOf(methodOf(document.querySelector('#body tr').cells[1]))") == before
        tab.reload()  # the link keeps them
        assert tab.evaluate(COLOURED) == [True, *[False] * 21, True, False]

    def test_the_front_is_what_no_method_beats_in_both(self, elsewhere):
        tab = elsewhere(board(9), NO_CHARTS)
        points = [[1, 5], [2, 4], [2, 6], [3, 6], [4, 9], [0.5, 1]]
        front = tab.evaluate(
            "points => paretoFront(points.map(([x, y]) => ({ x, y }))).map(({ x, y }) => [x, y])", points
        )
        assert front == [[0.5, 1], [1, 5], [2, 6], [4, 9]]

    def test_each_chart_saves_its_numbers_and_an_svg_with_its_title(self, opened):
        tab = opened()
        drawn(tab, "cost", "seeds")
        figure = tab.locator("figure:has(#chart-seeds)")
        with tab.expect_download() as caught:
            figure.get_by_text("CSV").click()
        rows = list(csv.DictReader(io.StringIO(caught.value.path().read_text(encoding="utf-8"))))
        here = ROWS[(ROWS["dataset"] == "cifar10") & (ROWS["protocol"] == SETTINGS[0][2]) & (ROWS["group"] == "all")]
        (value,) = set(rows[0]) - {"method", "seed"}
        assert value == "accuracy averaged over classes, All (%)"
        assert sorted(float(row[value]) for row in rows) == pytest.approx(sorted(here["value"].dropna()))
        with tab.expect_download() as caught:
            tab.locator("figure:has(#chart-cost)").get_by_text("SVG").click()
        assert caught.value.suggested_filename == "cost-cifar10-IF-100.svg"
        drawing = ET.fromstring(caught.value.path().read_text(encoding="utf-8"))  # noqa: S314 (our own page wrote it)
        text = " ".join(drawing.itertext())
        assert "Accuracy against cost: cifar10, IF 100" in text
        assert "device seconds of one training" in text
        until(tab, "!document.querySelector('#told').textContent")
