"""Several stores in one leaderboard: each row is of one source, and a reader is told what that hides."""

import re
from functools import partial

import numpy as np
import pytest

from tailboard.harness.errors import ReportError
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.pages import html_pages
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

compared = partial(gather, comparable=True)
LABELS = np.repeat(np.arange(10), 20).astype(np.int16)


def filled(folder, methods=("ERM",), seeds=(0, 1, 2, 3, 4), skill=1.0, failed=(), labels=LABELS, **words):
    """A store with the predictions of what never was a network; ``skill`` decides how good they are."""
    store = Store(folder)
    spec = parse({"name": "t", "data": "cifar10", "methods": list(methods), "seeds": list(seeds), **words})
    store.write_plan(spec)
    for trial in plan(spec):
        rng = np.random.default_rng(trial.seed)
        logits = rng.normal(0, 1, (len(labels), 10)).astype(np.float16)
        logits[np.arange(len(labels)), labels] += skill
        accuracy = {"last_ema": per_class_accuracy(logits, labels)}
        data = Provenance(verified=True, hashes={}, fingerprint=f"{trial.seed:064}")
        outcome = {"status": "failed", "reason": "no"} if trial.seed in failed else {"status": "complete", "data": data}
        counts = long_tail(trial.data)
        store.write_arrays(trial.key, {"last_ema": logits, "labels": labels})
        store.write_record(
            Record(key=trial.key, trial=trial, counts=counts, test_counts=(20,) * 10, accuracy=accuracy, **outcome)
        )
        store.mark_tracked(trial.key, {})
    return store


def test_table_noise_and_page_are_of_the_source_that_is_named_first(tmp_path):
    weak, strong = filled(tmp_path / "a", skill=0.5), filled(tmp_path / "b", skill=3.0)
    for one, other in ((weak, strong), (strong, weak)):
        board = compared([one, other], images=True)
        alone = compared([one], images=True)
        assert board.rendered("csv") == alone.rendered("csv") != compared([other]).rendered("csv")
        assert board.predictions.tables()[0].body == alone.predictions.tables()[0].body
        behind, own = html_pages.page_content(board, [one, other]), html_pages.page_content(alone, [one])
        assert {key: found.right for key, found in behind.evidence.items()} == {
            key: found.right for key, found in own.evidence.items()
        }
        assert any("other numbers" in note and "ERM, cifar10, IF 100, seed 0" in note for note in board.notes)


@pytest.mark.parametrize("first", [0, 1])
def test_a_trial_that_failed_elsewhere_counts_and_is_told(tmp_path, first):
    stores = [filled(tmp_path / "a", failed=[0]), filled(tmp_path / "b")]
    stores = stores if first == 0 else stores[::-1]
    board = compared(stores)
    assert (
        board.complete
        and "Complete here, but not in another of these: ERM, cifar10, IF 100, seed 0: failed." in board.notes
    )
    evidence = html_pages.page_content(board, stores).evidence
    assert len(evidence) == 5 and all(sum(found.right) for found in evidence.values())
    assert not any("Complete here" in note for note in compared([filled(tmp_path / "b")]).notes)


def test_a_method_whose_value_is_written_otherwise_is_one_row(tmp_path):
    methods = [[{"name": "Focal Loss", "values": {"loss.gamma": gamma}}] for gamma in (2, 2.0)]
    one, other = filled(tmp_path / "a", methods[0]), filled(tmp_path / "b", methods[1])
    assert compared([one, other]).rendered("csv") == compared([one]).rendered("csv")
    assert set(compared([other, one]).rows["method"]) == {"Focal Loss (loss.gamma=2.0)"}
    more = filled(tmp_path / "c", methods[1], data=["cifar10", {"name": "cifar10", "imbalance_factor": 50}])
    rows = compared([one, more]).rows
    assert dict(rows.groupby("method")["setting"].nunique()) == {"Focal Loss (loss.gamma=2)": 2}, (
        "the other data set is of the row too"
    )


def test_rows_of_other_seeds_are_told(tmp_path):
    here = filled(tmp_path / "a", methods=["ERM", "Focal Loss", "Resampling"])
    other = filled(tmp_path / "b", methods=["Reweighting"], seeds=[5, 6, 7])
    board = compared([here, other])
    assert "Not all rows of a column are of the same seeds: Reweighting (5 to 7)." in board.notes
    pooled = compared([here, filled(tmp_path / "c", methods=["ERM"], seeds=[7, 9])])
    assert any("same seeds: ERM (0; 1; 2; 3; 4; and 2 more)." in note for note in pooled.notes)
    same = compared([here, filled(tmp_path / "d", methods=["Reweighting"])])
    assert not any("same seeds" in note for note in same.notes)


def test_other_test_images_are_refused(tmp_path):
    easy = filled(tmp_path / "b", methods=["Reweighting"], labels=np.repeat(np.arange(10), 10).astype(np.int16))
    with pytest.raises(ReportError, match=r"scored cifar10 on other images .* report them one by one"):
        compared([filled(tmp_path / "a"), easy])


def test_plans_of_one_store_that_count_their_groups_otherwise_are_refused(tmp_path):
    store = filled(tmp_path / "a")
    filled(tmp_path / "a", name="u", methods=["Focal Loss"], shots={"few": 30, "many": 200})
    with pytest.raises(ReportError, match=re.escape("below 20 and above 100 training images in plan t of")):
        compared([store])
    assert compared([store], store.plans()[1].shots).complete


def test_the_noise_says_over_how_many_seeds(tmp_path):
    stores = [filled(tmp_path / "a"), filled(tmp_path / "b", methods=["Reweighting"], failed=[1, 2])]
    found, against = compared(stores, images=True).predictions.tables("ERM")
    assert [row[0] for row in found.body] == ["ERM", "Reweighting (n=3)"]
    assert [row[0] for row in against.body] == ["Reweighting (n=3)"]


def test_a_site_has_pages_of_stores_that_share_no_table_and_none_of_a_mistyped_method(tmp_path, tailboard):
    one, other = filled(tmp_path / "a"), filled(tmp_path / "b", name="u", shots={"few": 30, "many": 200})

    def site(*words):
        code, _, err = tailboard("report", one.url, other.url, "--site", *words)
        return code, err

    code, err = site(tmp_path / "wrong", "--versus", "EMR")
    assert code == 1 and "'ERM'" in err and not (tmp_path / "wrong").exists()
    code, err = site(tmp_path / "pages")
    assert code == 1 and "--few and --many" in err, "one table of both there is not"
    assert {path.parent.name for path in (tmp_path / "pages").glob("*/index.html")} == {"a", "b"}
    index = (tmp_path / "pages" / "index.html").read_text()
    assert "t (a)" in index and "u (b)" in index
