"""What a line of the page takes for what: added up over the seeds, a matrix of few classes, a list of many."""

from dataclasses import replace

import numpy as np

from page_content import EVIDENCE, SUBJECT, TESTS
from page_tabs import browsing
from tailboard.leaderboard.confusion import Confusion
from tailboard.leaderboard.html.mistakes import MOST, mistakes
from tailboard.leaderboard.html.model import Evidence
from tailboard.leaderboard.metric import Metric


def packed(dense):
    true, predicted = np.nonzero(dense)
    return Confusion(len(dense), true, predicted, dense[true, predicted]).packed()


def test_seeds_are_added_and_what_is_no_matrix_is_left_out():
    first, second = np.array([[3, 1], [0, 4]]), np.array([[2, 2], [1, 3]])
    told = [Evidence(tests=(4, 4), confusion=packed(each)) for each in (first, second)]
    wrong = [Evidence(tests=(4, 4), confusion="AAAA"), Evidence(tests=(4, 5), confusion=packed(first)), Evidence()]
    assert mistakes([*told, *wrong]) == {"seeds": 2, "matrix": (first + second).tolist()}
    assert mistakes(wrong[2:]) is None


def test_of_many_classes_the_largest_shares_are_told():
    dense = np.diag(np.full(100, 40)) + 10 * np.eye(100, k=1, dtype=int)
    dense[7, 3], dense[9, 2] = 20, 1
    tested = tuple(dense.sum(axis=1).tolist())
    told = mistakes([Evidence(tests=tested, confusion=packed(dense))])
    assert told["seeds"] == 1 and len(told["worst"]) == MOST
    assert told["worst"][0] == [7, 3, 20] and [9, 2, 1] not in told["worst"]


class TestInABrowser:
    pytestmark = browsing

    def test_a_page_of_another_metric_says_so_and_counts_nothing_else(self, elsewhere):
        metric = Metric("macro_f1", "F1 in percent", label="macro F1", of_hits=False)
        tab = elsewhere(replace(SUBJECT, scored=metric, published=None))
        assert tab.inner_text("#caption").startswith("F1 in percent: mean ± one standard error")
        assert tab.is_disabled("#few") and tab.is_disabled("#many")
        assert tab.inner_text("#metric option:first-child") == "macro F1"
        tab.locator("#body td").nth(4).click()
        assert "macro F1 (%)" in tab.inner_text("#behind thead")

    def test_the_panel_of_a_cell_shows_the_rows_of_its_classes(self, elsewhere):
        """Of each class all but one image are taken for it, and that one for the next."""
        dense = np.diag(np.array(TESTS) - 1) + np.roll(np.eye(6, dtype=int), 1, axis=1)
        known = {key: replace(told, confusion=packed(dense) if told.right else "") for key, told in EVIDENCE.items()}
        tab = elsewhere(replace(SUBJECT, evidence=known))
        row = tab.locator("#body tr", has=tab.locator("th", has_text="better")).locator("td:not(.tier)")
        row.nth(3).click()
        matrix = tab.locator("#behind table.confusion")
        cells = matrix.locator("tbody tr").first.locator("td").all_inner_texts()
        assert [each.split() for each in cells] == [["97.5", "39"], ["2.5", "1"], *[["0.0", "0"]] * 4]
        assert matrix.locator("tbody tr").count() == 6
        largest = tab.locator("#behind table.confusions tbody tr").first.inner_text()
        assert largest.split() == ["f", "a", "10.0", "1", "of", "10"]
        tab.click("#behind-close")
        row.first.click()
        assert matrix.locator("tbody th").all_inner_texts() == ["e (20)", "f (10)"]
