"""The page ranks: its order, its tiers, the best of each column, bars, and what stands where on a narrow screen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtr

from page_boards import board
from page_content import NASTY, ROWS
from page_tabs import browsing, copied, grid, lines
from tailboard.leaderboard.results import summarise
from tailboard.leaderboard.statistics.tiers import tiers
from tailboard.leaderboard.tables.grid import Table
from tailboard.leaderboard.tables.leaders import leaders

BOARD = board(9, datasets=2)


def columns_of_first_data_set():
    summary = summarise(BOARD.rows)
    return summary[summary["dataset"] == "cifar10"].pivot(index="method", columns="group", values="mean")


def tiers_shown(tab):
    return {row[1]: row[0] for row in grid_with_tiers(tab)}


def grid_with_tiers(tab):
    return tab.eval_on_selector_all("#body tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")


class TestInABrowser:
    pytestmark = browsing

    @pytest.mark.parametrize("group", ["all", "few"])
    def test_it_opens_ranked_by_all_and_a_click_ranks_by_another_column(self, elsewhere, group):
        tab = elsewhere(BOARD)
        if group == "few":
            tab.locator("#head tr:nth-child(2) button").first.click()
        means = columns_of_first_data_set()[group].sort_values(ascending=False)
        ranked = tiers(BOARD.rows)[("small, 20 epochs", "cifar10", "IF 100", group)]
        assert grid_with_tiers(tab)[0][:2] == ["Tier 1", means.index[0]]
        assert [row[0] for row in grid(tab)] == list(means.index)
        assert tiers_shown(tab) == {name: f"Tier {tier}" for name, tier in ranked.items()}
        opens = tab.eval_on_selector_all("#body .opens th", "found => found.map(one => one.textContent)")
        firsts = [name for place, name in enumerate(means.index) if ranked[name] not in
                  [ranked[other] for other in means.index[:place]]]  # fmt: skip
        assert opens == firsts
        assert max(ranked.values()) > 1

    def test_where_the_column_that_it_was_sorted_by_is_gone_it_is_ranked_again(self, elsewhere):
        tab = elsewhere(BOARD)
        first, second = tab.eval_on_selector_all("#data option", "found => found.map(one => one.value)")[1:3]
        tab.locator("#head tr:nth-child(2) button").nth(3).click()  # All of the first
        tab.select_option("#data", second)
        again = [row[0] for row in grid(tab)]
        tab.select_option("#data", first)
        assert [row[0] for row in grid(tab)] != again
        means = summarise(BOARD.rows).query("group == 'all'").assign(here=lambda t: t["dataset"] + ", " + t["setting"])
        means = means[means["here"] == second].set_index("method")["mean"]
        assert again == list(means.sort_values(ascending=False).index)

    def test_large_differences_have_p_values_of_the_right_size(self, elsewhere):
        cases = [
            (t, n) for n in (1, 2, 3, 4, 5, 8, 9, 19, 29, 99) for t in (0.1, 2.0, 5.0, 8.0, 30.0, 60.0, 241.8, 1e6)
        ]
        found = elsewhere(BOARD).evaluate(
            "cases => cases.map(([t, n]) => twoSided(t, n))", [list(one) for one in cases]
        )
        np.testing.assert_allclose(found, [2 * stdtr(n, -t) for t, n in cases], rtol=1e-9, atol=1e-300)

    def test_a_group_without_a_class_is_no_column_until_other_boundaries_give_it_one(self, elsewhere):
        subject = board(3)
        few = subject.rows["group"] == "few"
        rows = subject.rows.assign(classes=subject.rows["classes"].mask(few, 0), value=subject.rows["value"].mask(few))
        told = {key: replace(one, groups=("many", *["med"] * 9)) for key, one in subject.evidence.items()}
        tab = elsewhere(replace(subject, rows=rows, evidence=told))
        heads = "found => found.map(one => one.textContent.replace('▼', ''))"
        assert tab.eval_on_selector_all("#head tr:nth-child(2) button", heads) == ["Med", "Many", "All"]
        assert tab.eval_on_selector_all("#group option", heads) == ["Med", "Many", "All"]
        assert tab.locator("#notes li", has_text="No class is in Few.").count() == 1
        assert copied(tab, "latex").count("Few") == 1
        assert {row["group"] for row in lines(copied(tab, "csv"))} == {"few", "med", "many", "all"}
        tab.fill("#few", "20")
        assert tab.eval_on_selector_all("#head tr:nth-child(2) button", heads) == ["Few", "Med", "Many", "All"]
        assert tab.locator("#notes li", has_text="No class is in").count() == 0

    def test_charts_stay_beside_the_table_whatever_tables_are_below_it(self, elsewhere):
        below = Table("costs", (("", ("All",)),), (("ERM", "1.0"),), (), ("A long sentence of many words. " * 20,))
        tab = elsewhere(replace(board(3), further=[below]))
        tops = "['.results', '.beside'].map(place => document.querySelector(place).getBoundingClientRect().top)"
        assert len({*tab.evaluate(tops)}) == 1

    def test_rules_are_drawn_in_the_order_of_the_tiers_only(self, elsewhere):
        tab = elsewhere(BOARD)
        assert tab.locator("#body .opens").count() > 1
        tab.locator("#head button").first.click()  # by name
        assert tab.locator("#body .opens").count() == 0
        assert set(tiers_shown(tab).values()) >= {"Tier 1", "Tier 2"}

    def test_tiers_are_those_that_python_computed_or_none(self, opened):
        tab = opened("#")
        assert tiers_shown(tab)["part"] == tiers_shown(tab)["dead"] == "–"
        assert tiers_shown(tab)["better"] == "Tier 1"
        tab.select_option("#metric", "worst")  # which only the browser counts
        assert tab.locator(".tier").count() == 0
        assert "Tiers are shown for the report's own metric" in tab.inner_text("#notes")

    def test_the_best_of_each_column_is_marked_as_in_print(self, opened):
        tab = opened()
        (protocol,) = {ROWS["protocol"].iloc[0]}
        best = leaders(ROWS)[protocol].best
        marked = tab.eval_on_selector_all(
            "#body .best", "found => found.map(cell => cell.closest('tr').cells[1].textContent)"
        )
        assert sorted(marked) == sorted(method for method, *_ in best)
        star = "getComputedStyle(document.querySelector('#body .best'), '::before').content"
        assert "★" in tab.evaluate(star)  # not by weight alone
        assert "★ marks the best" in tab.inner_text("#caption")

    def test_bars_are_as_long_as_the_value_and_can_be_switched_off(self, elsewhere):
        tab = elsewhere(BOARD)
        mean = columns_of_first_data_set()["all"].max()
        bar = "getComputedStyle(document.querySelector('#body tr').cells[5])"
        assert tab.evaluate(f"{bar}.backgroundSize") == f"{mean:.0f}% 4px"
        tab.uncheck("#bars")
        assert tab.evaluate(f"{bar}.backgroundImage") == "none"
        assert "bars=off" in copied(tab, "link")

    def test_a_narrow_screen_has_all_first_and_the_filters_folded(self, elsewhere):
        tab = elsewhere(BOARD)
        wide = tab.locator("#head tr:nth-child(2) button").all_inner_texts()
        assert [text.strip("▼") for text in wide[:4]] == ["Few", "Med", "Many", "All"]
        csv = copied(tab, "csv")
        tab.set_viewport_size({"width": 420, "height": 800})
        tab.wait_for_selector("#controls", state="hidden")
        narrow = tab.locator("#head tr:nth-child(2) button").all_inner_texts()
        assert [text.strip("▼") for text in narrow[:4]] == ["All", "Few", "Med", "Many"]
        box = tab.locator("#body tr").first.locator("td:not(.tier)").first.bounding_box()
        assert box["x"] + box["width"] <= 420
        assert box["y"] < 500
        assert copied(tab, "csv") == csv
        tab.click("#filters summary")
        tab.select_option("#spread", "none")
        tab.locator("#body td:not(.tier)").first.click()
        assert tab.inner_text("#behind-body p:first-child").endswith("All")

    def test_differences_stand_beside_the_values(self, opened):
        tab = opened()
        plain = {row[0]: row[1:] for row in grid(tab)}
        tab.select_option("#versus", NASTY)
        for name, *texts in grid(tab):
            for before, after in zip(plain[name], texts, strict=True):
                assert after.startswith(before)
        assert any(" better" in text for text in {row[0]: row for row in grid(tab)}["better"])
