"""The page, in a real headless Chromium: what it shows are the report's numbers, what its controls do is what they say,
a name is only ever text, and nothing is asked of any network."""

import csv
import io
import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from page_content import COUNTS, EVIDENCE, GROUPS, LOG, METHODS, NASTY, ROWS, SETTINGS, SUBJECT, WORSE, built
from page_tabs import NO_CHARTS, TITLE, WIDE, browsing, copied, drawn, grid, in_place, lines, same, until
from tailboard.harness.errors import SpecError
from tailboard.harness.reporting.pages.html_pages import _library
from tailboard.harness.spec.parser import _valid
from tailboard.harness.spec.schema import Shots
from tailboard.leaderboard.formats import latex as latex_module
from tailboard.leaderboard.formats import markdown as markdown_module
from tailboard.leaderboard.formats import records
from tailboard.leaderboard.formats import text as text_module
from tailboard.leaderboard.html import page
from tailboard.leaderboard.html.model import PageContent
from tailboard.leaderboard.published.rows import published
from tailboard.leaderboard.results import summarise
from tailboard.leaderboard.statistics.paired import paired
from tailboard.leaderboard.tables import differences
from tailboard.leaderboard.tables.published import beside
from tailboard.leaderboard.tables.report_tables import UNVERIFIED, tables


class TestInABrowser:
    pytestmark = browsing

    def test_the_table_is_the_reports_table(self, opened):
        tab = opened()
        (first, *_) = tables(ROWS, None, None, [])
        assert grid(tab) == [[text_module.plain(text) for text in row] for row in first.body]
        told = tab.eval_on_selector_all("#notes li", "found => found.map(one => one.textContent)")
        assert told[:2] == list(first.footnotes[:2])  # why seeds are not in a mean
        assert first.footnotes[2:] == (UNVERIFIED,)
        assert UNVERIFIED in told

    def test_a_difference_that_is_not_there_says_why(self, opened):
        tab = opened("#versus=ERM")
        shown = {row[0]: row[1] for row in grid(tab)}
        assert shown["dead"] == "failed 5/5²"
        assert shown["to come"] == "missing 5/5"
        assert re.fullmatch(r"\S+ ± \S+ \(n=4\)¹ \S+ ± \S+ \(n=4\)", shown["part"])
        told = tab.eval_on_selector_all("#notes li", "found => found.map(one => one.textContent)")
        assert told[1] == "² 4 of 5 diverged: loss not finite; 1 of 5 failed: ValueError: <b>no</b>"
        markdown = copied(tab, "markdown")
        assert "| failed 5/5² |" in markdown
        assert markdown_module._in_markdown(told[1]) in markdown
        tab.emulate_media(media="print")
        assert tab.locator("#notes li").nth(1).is_visible()
        tab.emulate_media(media="screen")
        tab.fill("#method", "dead")  # the reasons of what is shown
        assert grid(tab)[0][1] == "failed 5/5¹"
        tab.fill("#method", "")
        tab.select_option("#versus", "dead")
        assert {row[0]: row[1] for row in grid(tab)}["dead"] == "failed 5/5² reference"
        assert re.fullmatch(r"\S+ ± \S+", {row[0]: row[1] for row in grid(tab)}["ERM"])

    def test_its_numbers_equal_those_of_the_csv(self, opened):
        theirs = list(csv.DictReader(io.StringIO(records.csv(ROWS, started={}))))
        theirs = [
            row | {"method": text_module.plain(row["method"])} for row in theirs if row["protocol"] == SETTINGS[0][2]
        ]
        ours = lines(copied(opened(), "csv"))
        assert list(ours[0]) == [*theirs[0], "few", "many"]
        assert {(row.pop("few"), row.pop("many")) for row in ours} == {("20", "100")}
        for mine, other in zip(ours, theirs, strict=True):
            cost, told = mine.pop("erm_trainings"), other.pop("erm_trainings")
            assert cost == told == "" or cost == f"{float(told):.3g}".removesuffix(".0")
            for name in ("std", "ci95", "device_seconds"):
                here, there = mine.pop(name), other.pop(name)
                assert here == there == "" or float(here) == pytest.approx(float(there), rel=1e-12)
            numbers = {name: float(other[name]) if other[name] else "" for name in ("mean", "stderr")}
            assert {n: float(mine[n]) if mine[n] else "" for n in numbers} == numbers  # to the last bit
            assert mine | {"mean": "", "stderr": ""} == other | {"mean": "", "stderr": ""}

    @pytest.mark.parametrize("versus", ["ERM", "better", "part", "to come", NASTY])
    def test_differences_and_words_are_those_of_the_statistics(self, opened, versus):
        tab = opened()
        tab.select_option("#versus", versus)
        ours = [row for row in lines(copied(tab, "csv")) if row["method"] != versus]
        theirs = in_place(paired(ROWS, versus))
        names = ["method", "group", "difference", "ci95_low", "ci95_high", "p", "p_holm", "verdict", "detectable"]
        same(ours, theirs, names)
        if versus == "ERM":
            assert {"better", "not separable", ""} <= {row["verdict"] for row in ours}
            assert "not separable (" in {row[0]: row[1] for row in grid(tab)}["near"]

    @pytest.mark.parametrize("seeds", [2, 3, 6, 9])
    def test_they_are_at_other_numbers_of_seeds_too(self, elsewhere, seeds):
        rows, told = built(seeds)
        tab = elsewhere(PageContent("", rows, told, versus="ERM"), words="#sort=")
        ours = [row for row in lines(copied(tab, "csv")) if row["method"] != "ERM"]
        same(ours, in_place(paired(rows, "ERM")), ["difference", "p", "p_holm", "verdict", "detectable"])

    @pytest.mark.parametrize(("asked", "said"), [("ci95", "95% t interval"), ("std", "standard deviation")])
    def test_it_opens_in_the_uncertainty_that_was_asked_for(self, elsewhere, asked, said):
        tab = elsewhere(replace(SUBJECT, uncertainty=asked))
        assert said in tab.text_content("#caption")
        assert "#" not in copied(tab, "link")
        tab.select_option("#spread", "se")
        assert copied(tab, "link").endswith("#spread=se")  # a link wins
        tab.reload()
        assert "standard error" in tab.text_content("#caption")

    def test_it_is_cited_with_the_day_on_which_its_last_training_ended(self, opened, elsewhere):
        name, title = "leaderboard-a-i-title-i", r"a \textless{}i\textgreater{}title\textless{}/i\textgreater{}"
        made = "  howpublished = {Made with tailboard},\n}\n"
        assert copied(opened(), "citation") == f"@misc{{{name},\n  title = {{{{Leaderboard: {title}}}}},\n{made}"
        ended = {key: replace(one, finished="2026-11-29T12:00:00+00:00") for key, one in EVIDENCE.items()}
        dated = copied(elsewhere(replace(SUBJECT, evidence=ended)), "citation")
        assert "  year = {2026},\n" in dated and "  note = {Last training ended on 2026-11-29},\n" in dated

    def test_a_name_says_what_the_method_is(self, opened):
        tab = opened()
        titles = tab.eval_on_selector_all("#body .name", "all => all.map(one => one.title)")
        assert titles[METHODS.index("ERM")] == "the routine alone (2019)"
        assert titles[METHODS.index(NASTY)] == text_module.plain(WORSE)
        assert titles[METHODS.index("near")] == ""

    def test_other_thresholds_count_the_classes_anew(self, opened):
        tab = opened()
        plain = grid(tab)
        tab.fill("#few", "61")
        tab.fill("#many", "121")
        at = {"few": (2, 3, 4, 5), "med": (1,), "many": (0,), "all": tuple(range(6))}
        self.check_recounted(tab, at, np.mean)
        said = {(row["metric"], row["few"], row["many"]) for row in lines(copied(tab, "csv"))}
        assert said == {("balanced_accuracy", "61", "121")}
        assert "fewer than 61, 61 to 121 and more than 121" in tab.text_content("#caption")
        tab.fill("#few", "1")
        assert {row[1] for row in grid(tab)[:4]} == {"n/a (0 classes)"}
        tab.click("#reset")
        assert sorted(grid(tab)) == sorted(plain)

    @pytest.mark.parametrize(
        ("few", "many", "faulty", "said"),
        [
            ("200", "20", ["few", "many"], "Few (200) must not be above Many (20)."),
            ("101", "", ["few", "many"], "Few (101) must not be above Many (100)."),
            ("-5", "", ["few"], "Few: a whole number from 1 on."),
            ("", "19.5", ["many"], "Many: a whole number from 1 on."),
            ("1e2", "0", ["few", "many"], "Few and Many: a whole number from 1 on."),
        ],
    )
    def test_thresholds_that_the_command_refuses_are_refused(self, opened, few, many, faulty, said):
        with pytest.raises(SpecError):
            _valid(Shots, {name: text for name, text in (("few", few), ("many", many)) if text}, "shots")
        plain = grid(opened(f"#sort=&few={few}&many={many}"))
        tab = opened()
        assert grid(tab) == plain
        tab.fill("#few", few)
        tab.fill("#many", many)
        assert tab.get_attribute("#fault", "role") == "status"
        assert tab.inner_text("#fault") == f"{said} The table is as before."
        assert tab.eval_on_selector_all("[aria-invalid=true]", "found => found.map(one => one.id)") == faulty
        tab.select_option("#spread", "none")  # what is typed stays to be mended
        assert (tab.input_value("#few"), tab.input_value("#many")) == (few, many)
        tab.fill("#few", "61")
        tab.fill("#many", "121")
        assert tab.locator("[aria-invalid]").count() == 0
        assert tab.inner_text("#fault") == ""
        link, shown = copied(tab, "link"), grid(tab)
        assert "few=61&many=121" in link
        assert grid(opened("#" + link.split("#")[1])) == shown

    def test_the_worst_class_is_the_worst(self, opened):
        tab = opened()
        tab.select_option("#metric", "worst")
        self.check_recounted(tab, GROUPS, np.min)
        assert {row["metric"] for row in lines(copied(tab, "csv"))} == {"worst_class"}
        assert "worst class" in tab.text_content("#caption")

    def check_recounted(self, tab, at, metric):
        def value(row):
            one = EVIDENCE[row["key"]]
            return metric([100 * one.right[c] / one.tests[c] for c in at[row["group"]]])

        done = ROWS["status"] == "complete"
        rows = ROWS.assign(value=ROWS["value"].mask(done, ROWS[done].apply(value, axis=1)))
        same(lines(copied(tab, "csv")), in_place(summarise(rows)), ["method", "group", "mean", "stderr", "n", "status"])
        tab.select_option("#versus", "ERM")
        ours = [row for row in lines(copied(tab, "csv")) if row["method"] != "ERM"]
        same(ours, in_place(paired(rows, "ERM")), ["difference", "p_holm", "verdict", "detectable"])
        tab.select_option("#versus", "")

    def test_the_uncertainty_is_what_it_says(self, opened):
        tab = opened()
        values = ROWS[(ROWS["method"] == "ERM") & (ROWS["group"] == "few")]["value"].head(5)
        mean, spread = values.mean(), values.std(ddof=1)
        half = 2.7764451 * spread / np.sqrt(5)
        wanted = {
            "se": f"{mean:.1f} ± {spread / np.sqrt(5):.1f}",
            "std": f"{mean:.1f} ± {spread:.1f}",
            "ci95": f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]",
            "none": f"{mean:.1f}",
        }
        for word, text in wanted.items():
            tab.select_option("#spread", word)
            assert grid(tab)[0][1] == text
            said = {
                "se": "standard error",
                "std": "standard deviation",
                "ci95": "95% t interval",
                "none": "percent: mean;",
            }
            assert said[word] in tab.text_content("#caption")

    def test_numbers_are_rounded_as_python_rounds_them(self, opened):
        numbers = [0.25, 0.75, 42.25, 42.75, 0.05, 0.15, 99.95, -0.04, -0.25, -0.75, -3.05, 0.0, 100.0]
        numbers += np.random.default_rng(0).uniform(-100, 100, 200).round(2).tolist()
        for digits in (1, 2):
            found = opened().evaluate(f"numbers => numbers.map((number) => decimal(number, '', {digits}))", numbers)
            assert found == [f"{number:z.{digits}f}".replace("-", "−") for number in numbers]

    def test_a_difference_with_a_word_has_as_many_decimals_as_show_that_it_is_one(self, opened):
        tab, cell = opened(), SimpleNamespace(stderr=0.003, n=5, detectable=0.1)
        for cell.verdict, cell.difference in product(
            ("better", "worse", "not separable", ""), (-0.04, 0.0449, 0.00012, 0.05, -3.0, 0.0, 1e-12)
        ):
            assert tab.evaluate("found => differenceText(found)", vars(cell)) == differences.verdict(cell)

    def test_a_column_sorts_down_then_up_then_not_and_what_has_no_number_is_last(self, opened):
        tab = opened()
        button = tab.locator("#head tr:nth-child(2) button").nth(3)
        plain = [row[0] for row in grid(tab)]
        summary = summarise(ROWS)
        here = summary[(summary["dataset"] == "cifar10") & (summary["protocol"] == SETTINGS[0][2])]
        means = here[here["group"] == "all"].set_index("method")["mean"]
        down = [text_module.plain(name) for name in means.dropna().sort_values(ascending=False, kind="stable").index]
        orders = {"descending": down, "ascending": down[::-1]}
        for state, order in orders.items():
            button.click()
            assert [row[0] for row in grid(tab)] == [*order, "dead", "to come"]
            assert tab.locator("#head tr:nth-child(2) th").nth(3).get_attribute("aria-sort") == state
        button.click()
        assert [row[0] for row in grid(tab)] == plain

    def test_a_part_of_a_name_filters(self, opened):
        tab = opened()
        tab.fill("#method", "NEA")
        assert [row[0] for row in grid(tab)] == ["near"]
        assert tab.text_content("#count") == "1 of 8 methods"
        tab.fill("#method", "nobody")
        assert grid(tab) == []
        assert tab.is_visible("#nothing")

    def test_protocols_never_share_a_table_and_data_can_be_chosen(self, opened):
        tab = opened()
        assert len(grid(tab)[0]) == 1 + 8
        tab.select_option("#data", "cinic10, IF 10")
        assert tab.locator("#head th[scope=colgroup]").all_text_contents() == ["cinic10 (unverified), IF 10"]
        tab.select_option("#protocol", SETTINGS[2][2])
        assert tab.locator("#head th[scope=colgroup]").all_text_contents() == ["cifar10, IF 100"]
        shown = {row["mean"] for row in lines(copied(tab, "csv"))}
        assert {float(mean) for mean in shown if mean} == set(
            summarise(ROWS[ROWS["protocol"] == SETTINGS[2][2]])["mean"].dropna()
        )

    def test_a_link_keeps_the_view(self, opened):
        tab = opened()
        tab.select_option("#versus", NASTY)
        tab.select_option("#spread", "ci95")
        tab.fill("#few", "61")
        tab.fill("#method", "e")
        tab.locator("#head tr:nth-child(2) button").nth(1).click()
        tab.uncheck("#published")
        link, shown = copied(tab, "link"), grid(tab)
        tab.click("#reset")
        assert grid(tab) != shown
        tab.goto(link)
        until(tab, "document.querySelector('#few').value === '61'")
        assert grid(tab) == shown
        assert not tab.is_checked("#published")
        tab.reload()
        assert grid(tab) == shown

    def test_a_link_that_fits_nothing_here_shows_what_there_is(self, opened):
        plain = grid(opened("#"))
        assert grid(opened("#versus=nobody&few=-1&sort=x&protocol=y&group=z&spread=&data=q&charted=v")) == plain

    def test_what_may_not_go_to_the_clipboard_comes_in_a_box(self, elsewhere):
        tab = elsewhere(SUBJECT, "navigator.clipboard.writeText = () => Promise.reject(new Error('no'));")
        tab.click("#copy-csv")
        tab.wait_for_selector("#copy[open]")
        assert len(lines(tab.input_value("#copied"))) == len(METHODS) * 8

    @pytest.mark.parametrize(
        ("link", "said"),
        [
            ("", "accuracy averaged over classes, Few"),
            ("metric=worst", "accuracy of the worst class, Few"),
            ("few=60&metric=worst", "accuracy of the worst class, Few (fewer than 60 training images)"),
            ("few=60", "accuracy averaged over classes, Few (fewer than 60 training images)"),
        ],
    )
    def test_charts_and_cells_name_what_they_show(self, opened, link, said):
        tab = opened(f"#group=few&{link}")
        drawn(tab, "seeds", "cost")
        for chart in ("seeds", "cost"):
            until(tab, f"{TITLE}('{chart}') === {json.dumps(said + ' (%)')}")
        tab.locator("#body td:not(.tier)").first.click()
        assert tab.inner_text("#behind-body p:first-child").endswith(f"; {said}")
        assert ("worst class (%)" in tab.inner_text("#behind thead")) == ("worst" in link)

    def test_a_cell_opens_what_stands_behind_it(self, opened):
        tab = opened()
        tab.locator("#body tr", has_text="part").locator("td:not(.tier)").first.click()
        text = tab.inner_text("#behind")
        rows = ROWS[(ROWS["method"] == "part") & (ROWS["group"] == "few")].head(5)
        for row in rows.itertuples():
            assert row.key in text
            assert row.status != "complete" or f"{row.value:.3f}" in text
        assert "loss.gamma" in text
        failed = tab.locator("#behind details", has_text="Seed 3: failed")
        assert failed.get_attribute("open") is not None
        said = failed.inner_text()
        for wanted in (
            *LOG.splitlines(),
            "c0ffee",
            "slide rule",
            "monday to tuesday",
            "tailboard run again --seed 3 --now",
        ):
            assert wanted in said
        tab.keyboard.press("Escape")
        assert not tab.is_visible("#behind")

    def test_the_keyboard_reaches_every_cell(self, opened):
        tab = opened()
        tab.focus("#skip")
        tab.keyboard.press("Enter")  # the link that skips the controls
        where = "() => placeOf(document.activeElement)"
        assert tab.evaluate(where) == [0, 1]
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "End", "ArrowRight"):
            tab.keyboard.press(key)
        assert tab.evaluate(where) == [2, 8]
        tab.keyboard.press("Enter")
        assert tab.inner_text("#behind-title") == "better"
        tab.keyboard.press("Escape")
        assert tab.evaluate(where) == [2, 8]
        assert tab.locator("#body td[tabindex]").count() == 1

    @pytest.mark.parametrize("width", [390, 1180])
    def test_no_title_of_an_axis_is_cut_off(self, tabs, tmp_path, width):
        rows = ROWS[~ROWS["method"].isin([NASTY, WORSE])]
        (tmp_path / "q.html").write_text(page.html(replace(SUBJECT, rows=rows), _library()), encoding="utf-8")
        tab = tabs.open(tmp_path / "q.html")
        tab.set_viewport_size({"width": width, "height": 900})
        tab.evaluate("location.hash = 'few=60&metric=worst&group=few'")
        drawn(tab, "seeds", "cost")
        inside = """name => {
          const edge = document.getElementById(`chart-${name}`).getBoundingClientRect();
          return [...document.querySelectorAll(`#chart-${name} .infolayer [class$=title]`)].every((title) => {
            const box = title.getBoundingClientRect();
            const [wide, tall] = [box.left >= edge.left && box.right <= edge.right, box.bottom <= edge.bottom + 0.5];
            return wide && tall && box.top >= edge.top;
          });
        }"""
        for name in ("seeds", "cost"):
            until(tab, f"{TITLE}('{name}').includes('60')")
            assert tab.evaluate(inside, name)

    def test_a_name_is_text_everywhere(self, opened):
        tab = opened()
        tab.locator("#body tr", has_text="<img").locator("td:not(.tier)").first.click()
        assert tab.inner_text("#behind-title") == NASTY
        tab.keyboard.press("Escape")
        assert tab.locator("img").count() == 0
        assert tab.locator("a[href^=javascript]").count() == 0
        assert text_module.plain(WORSE) in [row[0] for row in grid(tab)]
        drawn(tab, "seeds")
        assert tab.locator("#chart-seeds").locator("text", has_text=NASTY[:8]).count() > 0
        assert tab.text_content("h1") == "Leaderboard: a <i>title</i>"

    def test_markdown_and_latex_are_escaped_as_the_report_does(self, opened):
        tab = opened("#sort=&published=off")
        body = tables(ROWS, None, None, [])[0].body
        markdown, latex = copied(tab, "markdown"), copied(tab, "latex")
        for name in (NASTY, WORSE):
            assert f"| {markdown_module._in_markdown(name)} |" in markdown
            assert f"\n{latex_module._in_latex(name)} & " in latex
        assert len(re.findall(r"^\|", markdown, re.M)) == len(body) + 2
        assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 1
        assert r"\multicolumn{4}{c}{cifar10, IF 100}" in latex
        assert f"ERM & {latex_module._in_latex(grid(tab)[0][1])} &" in latex

    def test_published_rows_stand_apart_and_can_be_left_out(self, opened):
        tab = opened()
        quoted = grid(tab, "#published-section .quoted tbody tr")
        assert len(quoted) == len(published().drop_duplicates(["source", "method"]))
        assert all(row[0].endswith(" (published)") for row in quoted)
        assert "40.5 ± 0.4" in quoted[0]
        charts, below = (tab.locator(place).last.bounding_box() for place in (".charts", "#published-tables"))
        assert charts["y"] < below["y"]
        summaries = tab.locator("#published-section summary")
        met = ["measured here" in text for text in summaries.all_text_contents()]
        assert met == sorted(met, reverse=True)
        assert met.count(True) > 0
        assert tab.locator("#published-section details[open]").count() == 0
        summaries.first.click()
        assert tab.is_visible("#published-section .quoted")
        assert not [row for row in grid(tab) if "published" in row[0]]
        assert "not measured" in copied(tab, "markdown")
        tab.uncheck("#published")
        assert not tab.is_visible("#published-section")
        assert "not measured" not in copied(tab, "markdown")

    def test_measured_beside_published_is_what_the_report_prints(self, opened):
        tab = opened()
        (table,) = beside(summarise(ROWS[ROWS["protocol"] == SETTINGS[0][2]]), published(), SUBJECT.routines)
        shown = grid(tab, "#published-section .beside tbody tr")
        assert shown == [list(row) for row in table.body]
        assert all(row[-1].startswith("not comparable (") for row in shown)
        told = tab.eval_on_selector_all("div:has(> .scroll > .beside) li", "found => found.map(one => one.textContent)")
        assert told == [*table.footnotes, *table.caption]
        assert "measured beside published" in copied(tab, "markdown")
        tab.select_option("#metric", "worst")
        assert "Measured here as the report itself counts" in tab.inner_text("#published-tables")
        tab.select_option("#data", "cifar10, IF 100")
        assert all("cifar10" in row[1] for row in grid(tab, "#published-section .beside tbody tr"))

    def test_the_charts_draw_what_is_there(self, opened):
        tab = opened()
        points = "id => document.getElementById(id).data.map(trace => [trace.name, trace.x, trace.y])"
        drawn(tab)
        bars, rings = tab.evaluate(points, "chart-seeds")
        here = ROWS[(ROWS["dataset"] == "cifar10") & (ROWS["protocol"] == SETTINGS[0][2]) & (ROWS["group"] == "all")]
        assert sorted(rings[1]) == pytest.approx(sorted(here["value"].dropna()))
        assert len(bars[1]) == 6
        name, x, y = tab.evaluate(points, "chart-classes")[0]
        erm = [EVIDENCE[key] for key in here[here["method"] == "ERM"]["key"]]
        assert (name, x) == ("ERM", sorted(COUNTS))
        assert y[0] == pytest.approx(np.mean([100 * one.right[5] / 10 for one in erm]))
        assert tab.evaluate(points, "chart-learning")[0] == ["ERM", [1, 2], [4.0, 1.0]]
        front, erm_cost, *_ = tab.evaluate(points, "chart-cost")
        assert erm_cost[:2] == ["ERM", [12.0]]
        assert front[0] == "Pareto front"
        assert tab.evaluate(points, "chart-budget") == [["ERM", [1, 2], [40.0, 41.5]]]
        for name in ("seeds", "classes", "learning", "cost", "budget"):
            assert tab.locator(f"#chart-{name} .main-svg").count() > 0
        tab.fill("#method", "to come")
        tab.wait_for_selector("#missing-learning:not(:empty)")
        assert not tab.is_visible("#chart-learning")

    def test_a_page_of_rows_alone_says_what_it_has_not(self, elsewhere):
        tab = elsewhere(PageContent("", ROWS))
        drawn(tab, "learning")
        assert tab.is_disabled("#few")
        assert tab.inner_text("#missing-learning") == "The store holds no curve of these trials."
        assert not tab.is_visible("#chart-budget")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_can_be_read_in_light_and_dark(self, opened, scheme):
        tab = opened("#versus=ERM")
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_timeout(300)  # the charts are out of date
        drawn(tab, "seeds")
        ratio = """() => {
          const light = (colour) => colour.match(/\\d+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const ground = light(getComputedStyle(document.body).backgroundColor);
          return ['#body td:not(.tier)', '.difference', 'caption', '.small', 'button', '#chart-seeds text']
            .map(where => {
            const style = getComputedStyle(document.querySelector(where));
            const text = light(where.endsWith(' text') ? style.fill : style.color);
            return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
          }).concat(ground);
        }"""
        *found, ground = tab.evaluate(ratio)
        assert min(found) >= 4.5  # WCAG 2.2, 1.4.3
        assert (ground < 0.1) == (scheme == "dark")

    def test_a_narrow_screen_scrolls_the_table_and_not_the_page(self, opened):
        tab = opened()
        tab.set_viewport_size({"width": 360, "height": 700})
        drawn(tab, "classes")
        until(tab, "document.querySelector('#chart-classes .main-svg').clientWidth < 360")  # the charts follow
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.evaluate("document.querySelector('#scroll').scrollWidth > innerWidth")

    def test_the_data_sets_name_is_in_sight_on_a_narrow_screen(self, opened):
        tab = opened()
        tab.set_viewport_size({"width": 390, "height": 800})
        where = """() => {
          const name = document.querySelector('#head [scope=colgroup] span').getBoundingClientRect();
          const methods = document.querySelector('#head .method').getBoundingClientRect();
          return [name.left - methods.right, innerWidth - name.right];
        }"""
        names = "document.querySelector('#head').style.getPropertyValue('--names')"
        wide = "document.querySelector('#head .tier').offsetWidth + document.querySelector('#head .method').offsetWidth"
        until(tab, f"Math.abs(parseFloat({names}) - ({wide})) <= 1")  # it follows the window
        for scrolled in (0, 60, 120):
            tab.evaluate("left => { document.querySelector('#scroll').scrollLeft = left; }", scrolled)
            assert min(tab.evaluate(where)) >= 0
        tab.evaluate("document.querySelector('#scroll').scrollLeft = 0")

    def test_charts_are_drawn_when_they_come_into_sight_and_all_of_them_for_print(self, browser, tmp_path):
        rows = pd.concat([ROWS.assign(method=[f"{name} {copy}" for name in ROWS["method"]]) for copy in range(9)])
        (tmp_path / "p.html").write_text(page.html(PageContent("", rows, EVIDENCE), _library()), encoding="utf-8")
        tab = browser.new_page(viewport=WIDE)
        tab.goto((tmp_path / "p.html").as_uri())
        until(tab, "typeof Plotly === 'object' && stale.size === 5")  # the library is ready, no chart is
        assert tab.locator(".main-svg").count() == 0
        tab.pdf()
        assert {one.get_attribute("id") for one in tab.locator(".chart:has(.main-svg)").all()} == {
            f"chart-{name}" for name in ("classes", "seeds", "learning", "cost")
        }
        tab.close()

    @pytest.mark.parametrize(("link", "rows"), [("", len(METHODS)), ("#versus=ERM", 0)])
    def test_what_is_asked_for_while_the_file_is_still_arriving_comes(self, browser, link, rows):
        first, rest = page.html(SUBJECT, NO_CHARTS).split('id="evidence">')
        arrived = threading.Event()

        class Slow(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f'{first}id="evidence">{rest[:99]}'.encode())
                arrived.wait(300)
                self.wfile.write(rest[99:].encode())

        with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            tab, troubles = browser.new_page(viewport=WIDE), []
            tab.on("pageerror", lambda error: troubles.append(str(error)))
            tab.goto(f"http://127.0.0.1:{server.server_port}/{link}", wait_until="commit")
            until(tab, "document.documentElement.dataset.ready === 'yes'")
            assert len(grid(tab)) == rows  # differences need what comes last
            tab.set_viewport_size({"width": 900, "height": 900})
            tab.wait_for_timeout(300)
            if rows:
                tab.locator("#body td:not(.tier)").first.click()
                assert not tab.is_visible("#behind")
            arrived.set()
            until(tab, "document.readyState === 'complete'")
            assert len(grid(tab)) == len(METHODS)
            assert tab.is_visible("#behind") == bool(rows)
            tab.close()
            server.shutdown()
        assert troubles == []

    def test_print_leaves_out_the_controls_and_cuts_nothing_off(self, opened):
        tab = opened()
        tab.emulate_media(media="print")
        assert not tab.is_visible("#controls")
        assert tab.is_visible("#caption")
        assert tab.evaluate("getComputedStyle(document.querySelector('#scroll')).overflow") == "visible"
