"""The site: what stands on its pages, that every link leads somewhere, that a name is only text, and accessibility."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urldefrag

import pytest

from page_boards import board as made
from page_content import EVIDENCE, NASTY, ROWS, SUBJECT, WORSE
from page_tabs import NO_CHARTS, WIDE, browsing, drawn, serious, until
from tailboard.harness.errors import ReportError
from tailboard.leaderboard.html import page
from tailboard.leaderboard.html.board import board
from tailboard.leaderboard.html.model import PageContent
from tailboard.leaderboard.html.site import PAGES, Words, pages
from tailboard.leaderboard.metric import ACCURACY

SUBJECTS = {"a": made(9, datasets=2), "b": SUBJECT, "c": replace(made(3, seeds=3), title="few seeds")}
WORDS = Words("Our boards", "Everything that <we> trained.")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def site():
    return pages([board(name, subject) for name, subject in SUBJECTS.items()], WORDS)


@pytest.fixture(scope="module")
def folder(site, tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    for name, text in site.items():
        (place / name).write_text(text, encoding="utf-8")
    for name, subject in SUBJECTS.items():
        (place / name).mkdir()
        (place / name / "index.html").write_text(page.html(subject, NO_CHARTS), encoding="utf-8")
        for form in ("csv", "json", "md", "parquet"):
            (place / name / f"leaderboard.{form}").touch()
    return place


def test_the_front_page_says_what_there_is_and_who_leads(site):
    text = site["index.html"]
    assert "<h1>Our boards</h1><p>Everything that &lt;we&gt; trained.</p>" in text
    assert "3 boards" in text
    assert "90 of 90" in text
    first = board("a", SUBJECTS["a"]).first_tier
    assert first[0].mean == max(one.mean for one in board("a", SUBJECTS["a"]).standings)
    for one in first:
        assert f"<li>{one.method}: {one.mean:.1f}</li>" in text
    assert "No tiers yet; the largest mean is" in text
    assert "How to submit" in text


def test_the_day_is_that_of_the_last_training_and_the_same_bytes_come_again():
    key = next(iter(EVIDENCE))
    subject = replace(SUBJECT, evidence={key: replace(EVIDENCE[key], finished="2026-11-28T12:00:00+00:00")})
    once = pages([board("a", subject)], WORDS)
    assert "The last training ended on 2026-11-28." in once["index.html"]
    assert once == pages([board("a", subject)], WORDS)


def test_a_board_of_another_metric_says_so_and_is_led_by_the_least_where_less_is_better():
    less = replace(ACCURACY, name="loss", text="Loss in percent", larger_is_better=False)
    found = board("a", replace(SUBJECTS["a"], scored=less))
    assert found.column.startswith(less.label)
    assert found.column.endswith("All, cifar10, IF 100")
    assert found.standings[0].mean == min(one.mean for one in found.standings)
    assert found.standings[0].tier == 1


def test_methods_and_data_have_their_cards(site):
    methods, data = site["methods.html"], site["data.html"]
    assert '<a href="https://arxiv.org/abs/1901.05555" rel="noreferrer">arXiv 1901.05555</a>' in methods
    assert "tier 1" in methods
    assert "724 training images of 6 classes, from 500 down to 5 (imbalance factor 100); 170 test images." in data
    assert "none formal" in data


def test_names_and_words_are_text_and_nothing_runs():
    ended = {key: replace(one, finished="9<img src=x>") for key, one in EVIDENCE.items()}
    subject = replace(SUBJECT, title=WORSE, rows=ROWS[ROWS["method"].isin([NASTY, WORSE])], evidence=ended)
    for text in pages([board("a", subject)], Words(NASTY, WORSE)).values():
        tags = Tags(text).tags
        assert not {"script", "img", "i"} & {tag for tag, _ in tags}
        assert not [a for _, a in tags if a.get("href", "").startswith("javascript")]
        assert not re.search(r"script-src(?! 'none')|connect-src|unsafe-eval", text)


def test_every_link_leads_somewhere(site, folder):
    for name, text in site.items():
        links = [attributes["href"] for tag, attributes in Tags(text).tags if tag == "a"]
        assert len(links) >= 3
        for link in links:
            address = urldefrag(link).url
            assert address.startswith("https://arxiv.org/abs/") or (folder / address).is_file(), (name, link)
    assert set(site) == set(PAGES)


def test_a_page_of_nothing_finished_says_so():
    rows = ROWS.assign(status="missing", value=float("nan"), reason="not run yet")
    front = pages([board("a", PageContent("t", rows))])["index.html"]
    assert "Nothing is finished yet." in front
    assert "ended on" not in front


def test_words_of_a_front_page_need_a_site(tmp_path):
    from tailboard.harness.cli import report

    with pytest.raises(ReportError, match="--site, which is not asked for"):
        report.report([str(tmp_path)], title="mine")


class TestInABrowser:
    pytestmark = browsing

    @pytest.mark.parametrize("name", [*PAGES, "a/index.html", "b/index.html"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_has_no_serious_finding(self, browser, folder, name, scheme):
        tab = browser.new_page(viewport=WIDE, color_scheme=scheme)
        tab.goto((folder / name).as_uri())
        if "/" in name:
            until(tab, "document.documentElement.dataset.ready === 'yes'")
            tab.wait_for_timeout(300)
        found = serious(tab)
        tab.close()
        assert found == []

    @pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (420, "light"), (1400, "dark")])
    def test_axe_has_none_in_drawn_charts_nor_in_what_a_click_opens(self, opened, width, scheme):
        tab = opened("#versus=ERM")
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 900})
        drawn(tab, "cost", "classes")
        for place in ("", "#body .name", "#head .name", "#body td:not(.tier)"):
            if place:
                tab.locator(place).first.click()
            assert serious(tab) == []
            tab.keyboard.press("Escape")

    def test_a_narrow_screen_scrolls_nothing_sideways(self, browser, folder):
        tab = browser.new_page(viewport={"width": 360, "height": 800})
        for name in PAGES:
            tab.goto((folder / name).as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        tab.close()
