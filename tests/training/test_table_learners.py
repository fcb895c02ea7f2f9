"""Learners of tables agree with the libraries called directly, and honour a method or refuse it with the reason."""

from importlib import import_module

import imblearn.ensemble
import numpy as np
import pytest
import torch
from catboost import CatBoostClassifier
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, KMeansSMOTE
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

from tailboard.datasets.split import Images
from tailboard.datasets.tables.columns import Column
from tailboard.datasets.tables.encoder import Encoder
from tailboard.harness.errors import NetworkError
from tailboard.harness.monitoring.progress import RunProgress
from tailboard.harness.monitoring.status import status_facts
from tailboard.harness.planning.plan import Plan
from tailboard.harness.planning.prepare import write_plan
from tailboard.harness.planning.request import RunRequest, check_names
from tailboard.harness.planning.summary import plan_table, tuning_table
from tailboard.harness.registry.limits import why_not_tried
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.reporting.gather import gather
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.learners.estimator_fit import folds
from tailboard.harness.training.learners.table_learners import table_learner
from tailboard.harness.training.notes import remarks, summary
from tailboard.harness.training.random_streams import RandomStreams, derive_seed
from tailboard.harness.training.trial import scored_logits
from tailboard.methods.part import MethodError
from tailboard.methods.recipe import Recipe, recipe
from tailboard.methods.sampling.balance import class_weights
from tailboard.methods.sampling.imbalanced_learn import SAMPLERS

COLUMNS = (*map(Column, ("a", "b", "c")), Column("d", "category"))
COUNTS = (120, 50, 20)


def rows(seed: int, counts=COUNTS) -> Images:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.column_stack([rng.normal(size=(len(y), 3)) + y[:, None] * [2, 1, 0], rng.integers(0, 3, len(y))])
    x[rng.random(len(y)) < 0.1, 0] = np.nan
    return Images(x, y.astype(np.int64))


TRAIN, TEST = rows(0), rows(1, (50, 50, 50))


def trial_of(network, method="ERM", **words) -> Trial:
    raw = {
        "name": "t",
        "data": {"name": "adult", "train_ratio": 0.1},
        "methods": [method],
        "network": network,
        "seeds": 1,
    }
    return plan(parse(raw | words))[0]


def fitted(network, method: str | Recipe = "ERM", **words):
    made = recipe(method) if isinstance(method, str) else method
    learner = table_learner(trial_of(network, **words), TRAIN, COUNTS, made, torch.device("cpu"), COLUMNS)
    assert [line["epoch"] for line in learner.epochs()] == list(range(learner.training.epochs))
    return learner


def seed() -> int:
    return int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("estimator")))


ESTIMATORS = {
    "xgboost": lambda s: XGBClassifier(random_state=s, n_jobs=1, tree_method="hist"),
    "lightgbm": lambda s: LGBMClassifier(
        random_state=s, n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1
    ),
    "catboost": lambda s: CatBoostClassifier(
        iterations=300,
        depth=6,
        learning_rate=0.1,
        l2_leaf_reg=3,
        random_seed=s,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    ),
    "svm": lambda s: SVC(break_ties=True),
    "logistic_regression": lambda s: LogisticRegression(max_iter=1000),
    "random_forest": lambda s: RandomForestClassifier(random_state=s),
    "hist_gradient_boosting": lambda s: HistGradientBoostingClassifier(random_state=s, early_stopping=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_as_its_library_called_directly(name, weighted):
    learner = fitted(name, "Reweighting" if weighted else "ERM")
    encoder = Encoder(COLUMNS).fit(TRAIN.x)
    of_row = np.array(class_weights(COUNTS, "class_balanced"))[TRAIN.y]
    weight = {"sample_weight": (of_row.astype(np.float32) / of_row.mean())} if weighted else {}
    direct = ESTIMATORS[name](seed()).fit(encoder.transform(TRAIN.x), TRAIN.y, **weight)
    found = scored_logits(learner, torch.from_numpy(TEST.x))["last_ema"].argmax(axis=1)
    assert np.array_equal(found, np.ravel(direct.predict(encoder.transform(TEST.x))))  # CatBoost's are a column
    assert learner.history[0].get("weights.acted") == (1.0 if weighted else None)


def resampled(name: str, **values) -> tuple[np.ndarray, np.ndarray]:
    """What the library called directly makes of the training rows."""
    sampler = getattr(import_module(SAMPLERS[name][0]), name)(**values)
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("imbalanced-learn")))
    if "random_state" in sampler.get_params():
        sampler.set_params(random_state=drawn)
    if name in ("SMOTEENN", "SMOTETomek"):
        sampler.set_params(smote=SMOTE(random_state=drawn))
    return sampler.fit_resample(Encoder(COLUMNS).fit(TRAIN.x).transform(TRAIN.x), TRAIN.y)


OF_NUMBERS = sorted(SAMPLERS.keys() - {"KMeansSMOTE", "SMOTENC", "SMOTEN"})


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_a_sampler_makes_the_rows_that_its_library_makes(name):
    learner = fitted("logistic_regression", name)
    encoder = Encoder(COLUMNS).fit(TRAIN.x)
    x, y = resampled(name)
    direct = LogisticRegression(max_iter=1000).fit(x, y)
    found = scored_logits(learner, torch.from_numpy(TEST.x))["last_ema"].argmax(axis=1)
    assert np.array_equal(found, direct.predict(encoder.transform(TEST.x)))
    assert len(y) != len(TRAIN.y) and learner.history[0]["rows.acted"] == 1


@pytest.mark.parametrize(
    "name, values",
    [
        ("SMOTE", {"k_neighbors": 3}),
        ("ADASYN", {"n_neighbors": 2}),
        ("BorderlineSMOTE", {"k_neighbors": 3, "m_neighbors": 7, "kind": "borderline-2"}),
        ("NearMiss", {"version": 3}),
        ("EditedNearestNeighbours", {"n_neighbors": 1, "kind_sel": "mode"}),
        ("ClusterCentroids", {"voting": "hard"}),
    ],
)
def test_values_of_a_sampler_are_those_of_its_library(name, values):
    trial = trial_of("logistic_regression", {"name": name, "values": {f"rows.{n}": v for n, v in values.items()}})
    learner = fitted("logistic_regression", recipe_of(trial, None))
    x, y = resampled(name, **values)
    usual, _ = resampled(name)
    assert usual.shape != x.shape or not np.array_equal(usual, x), "the values change something"
    direct = LogisticRegression(max_iter=1000).fit(x, y)
    found = scored_logits(learner, torch.from_numpy(TEST.x))["last_ema"].argmax(axis=1)
    assert np.array_equal(found, direct.predict(Encoder(COLUMNS).fit(TRAIN.x).transform(TEST.x)))


@pytest.mark.slow
def test_the_network_on_rows_learns_from_the_rows_that_a_sampler_makes():
    trial = trial_of({"name": "mlp", "values": {"width": 8}}, training={"epochs": 1, "batch_size": 64})
    for name in OF_NUMBERS:
        learner = table_learner(trial, TRAIN, COUNTS, recipe(name), torch.device("cpu"), COLUMNS)
        x, y = resampled(name)
        assert torch.equal(learner.material.x, torch.from_numpy(x).float()), name
        assert torch.equal(learner.material.y, torch.from_numpy(y)) and learner.scene.counts == (*np.bincount(y),), name
    list(learner.epochs())
    assert summary(learner.history, learner.recipe, learner.training, 1)["rows.acted"] == 1


@pytest.mark.parametrize("network", ["logistic_regression", "mlp"])
def test_a_sampler_that_neither_makes_nor_drops_a_row_is_told(network):
    apart = Images(TRAIN.x + 100.0 * TRAIN.y[:, None], TRAIN.y)  # no row is nearest to one of another class
    words = {"training": {"epochs": 2, "batch_size": 64}} if network == "mlp" else {}
    made = recipe("TomekLinks")
    learner = table_learner(trial_of(network, **words), apart, COUNTS, made, torch.device("cpu"), COLUMNS)
    list(learner.epochs())
    notes = summary(learner.history, made, learner.training, 1)
    assert remarks(notes, made) == ("no row was made or dropped",)


def one_hot(numbered: np.ndarray) -> np.ndarray:
    """Rows whose last column is a category that is one of three."""
    return np.hstack([numbered[:, :-1], numbered[:, -1:] == [0, 1, 2]])


def test_a_sampler_before_encoding_makes_the_rows_that_its_library_makes():
    learner = fitted("logistic_regression", "SMOTENC")
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("imbalanced-learn")))
    imputed = SimpleImputer(strategy="median", add_indicator=True).fit(TRAIN.x[:, :3])
    scaled = StandardScaler().fit(imputed.transform(TRAIN.x[:, :3]))
    numbered = np.column_stack([scaled.transform(imputed.transform(TRAIN.x[:, :3])), TRAIN.x[:, 3]])
    made, y = SMOTENC([3, 4], random_state=drawn).fit_resample(numbered, TRAIN.y)
    assert set(np.unique(made[:, 4])) == {0.0, 1.0, 2.0}, "categories stay categories"
    direct = LogisticRegression(max_iter=1000).fit(one_hot(made), y)
    found = scored_logits(learner, torch.from_numpy(TEST.x))["last_ema"].argmax(axis=1)
    tested = np.column_stack([scaled.transform(imputed.transform(TEST.x[:, :3])), TEST.x[:, 3]])
    assert np.array_equal(found, direct.predict(one_hot(tested)))


def test_smoten_makes_the_rows_that_its_library_makes():
    columns, x = (Column("a", "category"), Column("b", "category")), TRAIN.x[:, [3, 3]].copy()
    x[:, 1] = (TRAIN.y + x[:, 1]) % 3
    trial = trial_of({"name": "mlp", "values": {"width": 8}}, training={"epochs": 1, "batch_size": 64})
    learner = table_learner(trial, Images(x, TRAIN.y), COUNTS, recipe("SMOTEN"), torch.device("cpu"), columns)
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("imbalanced-learn")))
    made, y = SMOTEN(random_state=drawn).fit_resample(x, TRAIN.y)
    encoded = np.hstack([made[:, [place]] == [0, 1, 2] for place in (0, 1)])
    assert np.array_equal(learner.material.x.numpy(), encoded) and np.array_equal(learner.material.y.numpy(), y)


def test_categories_alone_are_made_by_smoten():
    columns, x = (Column("a", "category"), Column("b", "category")), TRAIN.x[:, [3, 3]].copy()
    x[:5, 0] = np.nan
    learner = table_learner(
        trial_of("xgboost"), Images(x, TRAIN.y), COUNTS, recipe("SMOTEN"), torch.device("cpu"), columns
    )
    list(learner.epochs())
    assert learner.scene.counts == (120, 120, 120)


@pytest.mark.parametrize(
    "apart, values", [(20.0, {}), (0.0, {"k_neighbors": 1, "kmeans_estimator": 12, "cluster_balance_threshold": 0.1})]
)
def test_kmeans_smote_predicts_as_its_library(apart, values):
    """Where classes lie apart clusters of each are found by themselves; where they do not, with a lower threshold."""
    moved = TRAIN.x + np.column_stack([*3 * (apart * TRAIN.y,), 0 * TRAIN.y])
    made = recipe("KMeansSMOTE").tuned({f"rows.{name}": value for name, value in values.items()})
    learner = table_learner(trial_of("xgboost"), Images(moved, TRAIN.y), COUNTS, made, torch.device("cpu"), COLUMNS)
    list(learner.epochs())
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("imbalanced-learn")))
    encoder = Encoder(COLUMNS).fit(moved)
    x, y = KMeansSMOTE(random_state=drawn, **values).fit_resample(encoder.transform(moved), TRAIN.y)
    assert len(y) > len(TRAIN.y) and learner.scene.counts == tuple(np.bincount(y))
    direct = XGBClassifier(random_state=seed(), n_jobs=1, tree_method="hist").fit(x, y)
    assert np.array_equal(learner.logits(torch.from_numpy(TEST.x)).argmax(1), direct.predict(encoder.transform(TEST.x)))


def test_a_value_whose_choices_are_words_and_numbers_takes_either_and_nothing_else():
    for taken in ("auto", 0.02, 1):
        assert recipe("KMeansSMOTE").tuned({"rows.cluster_balance_threshold": taken}).rows
    with pytest.raises(MethodError, match="cluster_balance_threshold must be a word or a number, not True"):
        recipe("KMeansSMOTE").tuned({"rows.cluster_balance_threshold": True})


TWO = Images(TRAIN.x[TRAIN.y != 1], TRAIN.y[TRAIN.y != 1] // 2)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
@pytest.mark.parametrize("network", ["logistic_regression", "svm"])
def test_a_threshold_is_chosen_on_held_out_rows_as_scikit_learn_chooses_it(network, metric):
    """Every threshold between two held-out scores is tried by hand."""
    made = recipe("Threshold").tuned({"finish.metric": metric})
    learner = table_learner(trial_of(network), TWO, (120, 20), made, torch.device("cpu"), COLUMNS)
    (line,) = learner.epochs()
    plain = table_learner(trial_of(network), TWO, (120, 20), Recipe(), torch.device("cpu"), COLUMNS)
    list(plain.epochs())
    margins = np.empty(len(TWO.y))
    for kept, held in folds(TWO.y, 5, derive_seed(0, "folds", 0)):
        encoder = Encoder(COLUMNS).fit(TWO.x[kept])
        direct = ESTIMATORS[network](seed()).fit(encoder.transform(TWO.x[kept]), TWO.y[kept])
        margins[held] = direct.decision_function(encoder.transform(TWO.x[held]))
    score = balanced_accuracy_score if metric == "balanced_accuracy" else f1_score
    best = max(score(TWO.y, margins >= each) for each in margins)
    shift = -np.log(1 / line["finish.threshold"] - 1)
    assert score(TWO.y, margins >= shift) == pytest.approx(best)
    test = torch.from_numpy(TEST.x)
    difference = plain.logits(test).diff(dim=1) - learner.logits(test).diff(dim=1)
    assert torch.allclose(difference, torch.tensor(shift).float(), atol=1e-4) and shift != 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BalancedRandomForest", "RUSBoost", "EasyEnsemble", "BalancedBagging"])
def test_an_ensemble_predicts_as_its_library_called_directly(name):
    kind = getattr(imblearn.ensemble, f"{name}Classifier")
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("imbalanced-learn")))
    encoder = Encoder(COLUMNS).fit(TRAIN.x)
    direct = kind(random_state=drawn).fit(encoder.transform(TRAIN.x), TRAIN.y)
    found = scored_logits(fitted("xgboost", name), torch.from_numpy(TEST.x))["last_ema"].argmax(axis=1)
    assert np.array_equal(found, direct.predict(encoder.transform(TEST.x)))


def test_an_ensemble_has_one_row_whatever_estimators_are_named():
    raw = {"name": "t", "data": "adult", "methods": ["ERM", "RUSBoost"], "network": ["xgboost", "mlp"], "seeds": 2}
    rows = [(trial.method.name, trial.network) for trial in plan(parse(raw)) if trial.seed == 0]
    assert rows == [("ERM", "xgboost"), ("RUSBoost", "ensemble"), ("ERM", "mlp")]
    alone = trial_of("mlp", "RUSBoost")
    assert alone.key == trial_of("xgboost", "RUSBoost").key
    with pytest.raises(MethodError, match="it brings its own estimator"):
        check_names([alone.model_copy(update={"network": "mlp", "training": trial_of("mlp", "ERM").training})], {})


def test_a_class_with_too_few_rows_is_told_and_a_sum_adjusts_to_the_rows_that_are_learnt_from():
    few = rows(2, (40, 20, 3))
    made = recipe("SMOTE + Logit adjustment")
    learner = table_learner(trial_of("xgboost"), few, (40, 20, 3), made, torch.device("cpu"), COLUMNS)
    assert "rows.shortage" in next(iter(learner.epochs()))
    notes = summary(learner.history, made, learner.training, 1)
    assert set(remarks(notes, made)) == {made.rows.shortage, made.finish.shortage}
    alone = table_learner(trial_of("xgboost"), few, (40, 20, 3), recipe("SMOTE"), torch.device("cpu"), COLUMNS)
    list(alone.epochs())
    test = torch.from_numpy(TEST.x)
    assert torch.equal(alone.logits(test).argmax(1), learner.logits(test).argmax(1)), "all are as frequent by then"
    single = Images(few.x[few.y != 2][:21], np.array([0] * 20 + [1]))
    learner = table_learner(trial_of("xgboost"), single, (20, 1), recipe("SMOTE"), torch.device("cpu"), COLUMNS)
    with pytest.raises(MethodError, match="class 1 has one row, and SMOTE needs a neighbour"):
        list(learner.epochs())


def test_values_reach_the_estimator_and_a_wrong_one_is_refused():
    learner = fitted({"name": "xgboost", "values": {"max_depth": 2, "n_estimators": 7}})
    assert (learner.estimator.max_depth, learner.estimator.n_estimators, learner.estimator.n_jobs) == (2, 7, 1)
    for values, words in (
        ({"max_dept": 2}, "'max_dept'; did you mean 'max_depth'"),
        ({"max_depth": 2.5}, "whole number"),
    ):
        with pytest.raises(NetworkError, match=words):
            check_names([trial_of({"name": "xgboost", "values": values})], {})


def test_the_network_on_rows_learns_and_resumes_to_the_same_bits():
    def learner():
        trial = trial_of(
            {"name": "mlp", "values": {"dropout": 0.1, "width": 16}}, training={"epochs": 20, "batch_size": 32}
        )
        return table_learner(trial, TRAIN, COUNTS, Recipe(), torch.device("cpu"), COLUMNS)

    whole, first, second = learner(), learner(), learner()
    list(whole.epochs())
    lines = first.epochs()
    next(lines)
    next(lines)
    second.restore(first.state())
    list(second.epochs())
    test = torch.from_numpy(TEST.x)
    assert torch.equal(whole.logits(test), second.logits(test))
    assert (whole.logits(test).argmax(dim=1).numpy() == TEST.y).mean() > 0.5


def test_rows_to_be_scored_change_nothing_of_what_is_learnt():
    """A canary: a column that tells the class of the test rows, at values that no training row has."""
    x = TRAIN.x.copy()
    x[:, 2] = 0.0
    learner = table_learner(trial_of("xgboost"), Images(x, TRAIN.y), COUNTS, Recipe(), torch.device("cpu"), COLUMNS)
    list(learner.epochs())
    telling, blank = TEST.x.copy(), TEST.x.copy()
    telling[:, 2], blank[:, 2] = 1000.0 * (1 + TEST.y), 0.0
    assert torch.equal(learner.logits(torch.from_numpy(telling)), learner.logits(torch.from_numpy(blank)))


@pytest.mark.parametrize(
    ("network", "method", "words"),
    [
        ("xgboost", "LDAM-DRW", "CosineHead .* an estimator has no head"),
        ("xgboost", "SAM", "takes no gradient steps"),
        ("xgboost", "Focal Loss", "an estimator's loss is its library's"),
        ("xgboost", "M2m", "on xgboost: DeferredResampling acts from 0.8 of training on|M2m .*mixed"),
        ("xgboost", "tau-normalisation", "network's 'head', and an estimator has no network"),
        ("svm", "Logit adjustment", "the scores of SVC are margins"),
        ("mlp", "Joint-SSL", "two views of an image, and a row has none"),
        ("mlp", "Mixup-DRW", "a row has none"),
        ("mlp", "Threshold", "a network is trained once: it is for estimators"),
        ("xgboost", "SMOTEN", "for categories alone, and this table has numbers: take SMOTENC"),
        ("xgboost", {"name": "Resampling", "values": {"sampler.start": 0.5}}, "sampler.start must be 0"),
    ],
)
def test_what_a_method_cannot_mean_is_said_before_anything_runs(network, method, words):
    with pytest.raises(MethodError, match=words):
        check_names([trial_of(network, method)], {})


@pytest.mark.parametrize(
    ("method", "words"),
    [("Threshold", "between two classes, and there are 7"), ("SMOTENC", "and this has none: take SMOTE")],
)
def test_what_the_data_cannot_have_is_said_before_anything_runs(method, words):
    with pytest.raises(MethodError, match=words):
        check_names([trial_of("xgboost"), trial_of("xgboost", method, data="covertype")], {})


@pytest.mark.parametrize(
    ("method", "words"),
    [("SMOTE", "these have weights of their own"), ("EasyEnsemble", "EasyEnsembleClassifier takes no weights of rows")],
)
def test_what_cannot_honour_weights_of_rows_is_refused_before_it_is_fitted(method, words):
    columns = (*COLUMNS[:3], Column("w", "weight"))
    with pytest.raises(MethodError, match=words):
        table_learner(trial_of("xgboost"), TRAIN, COUNTS, recipe(method), torch.device("cpu"), columns)


@pytest.mark.parametrize(
    ("network", "data", "words"),
    [
        ("small", "adult", "small is for images, and adult is a table; for tables: xgboost"),
        ("xgboost", "fashion-mnist-mini", "xgboost is for the rows of a table, and fashion-mnist-mini is images"),
        ("xgbost", "adult", "did you mean 'xgboost'"),
    ],
)
def test_a_network_that_is_not_for_the_data_is_refused(network, data, words):
    with pytest.raises(NetworkError, match=words):
        check_names([trial_of(network, data={"name": data})], {})


def test_the_list_on_a_hundred_thousand_rows_says_what_is_not_tried_before_anything_runs():
    planned = Plan(read("tables-100k"))
    assert {what.partition(" on ")[0] for what in planned.not_tried} == {
        "SVMSMOTE", "ClusterCentroids", "CondensedNearestNeighbour", "RepeatedEditedNearestNeighbours", "AllKNN",
        "SMOTEENN", "SMOTETomek",
    }  # fmt: skip
    said = plan_table(planned)
    farthest = {"name": "NearMiss", "values": {"rows.version": 2}}
    assert why_not_tried(
        trial_of("xgboost", farthest, data={"name": "simulated-table", "profile": "natural"})
    ).startswith("NearMiss (rows.version=2) is not tried on more than 50,000 training rows")
    for what, why in planned.not_tried.items():
        assert "is not tried on more than 50,000 training rows, and simulated-table has 100,000 here" in why
        assert f"\nnot tried: {what}: {why}" in said
    assert not {trial.method.name for trial in planned.trials} & {what.split(" on ")[0] for what in planned.not_tried}


def test_what_grows_with_the_square_of_the_rows_is_refused_before_it_is_tried():
    whole = {"name": "covertype", "profile": "natural"}
    with pytest.raises(NetworkError, match=r"svm is not tried on more than 50,000 training rows, .* has 464,8"):
        check_names([trial_of("svm", data=whole)], {})
    check_names([trial_of("xgboost", data=whole)], {})
    check_names([trial_of("svm", data={"name": "covertype", "train_ratio": 0.1, "total": 50_000})], {})


class Silent:
    """Is told of nothing."""

    def on_abandoned(self, trial, why):
        raise AssertionError


def test_an_ensemble_stands_in_the_tables_of_the_estimators_beside_it(tmp_path):
    data = {"name": "adult", "train_ratio": 0.01, "total": 10000}
    raw = {"name": "t", "data": data, "methods": ["ERM", "RUSBoost"], "seeds": 2}
    store = Store(tmp_path / "both")
    store.write_plan(parse(raw | {"network": ["xgboost", "mlp"]}))
    report = gather([store])
    rows = report.rows.drop_duplicates(["protocol", "method"])
    assert [*zip(rows["protocol"].str.partition(",")[0], rows["method"], strict=True)] == [
        ("xgboost", "ERM"), ("xgboost", "RUSBoost"), ("mlp", "RUSBoost"), ("mlp", "ERM"),
    ]  # fmt: skip
    words = report.rendered("md", versus="ERM")
    assert "ensemble" not in words and words.count("RUSBoost") > 2 and "RUSBoost bring their own estimator" in words
    assert "0 of 6 trials are complete" in words, "it is trained and counted once"
    alone = Store(tmp_path / "alone")
    alone.write_plan(parse(raw | {"methods": "RUSBoost", "network": "xgboost"}))
    assert set(gather([alone]).rows["protocol"]) == {"ensemble"}
    assert set(gather([store, alone]).rows["protocol"]) == set(rows["protocol"])


def test_what_is_not_tried_is_said_by_plan_and_report_and_the_rest_is_run(tmp_path):
    raw = {
        "name": "t",
        "data": {"name": "covertype", "profile": "natural"},
        "methods": ["ERM", "SVMSMOTE"],
        "network": ["xgboost", "svm"],
        "seeds": 2,
    }
    spec = parse(raw | {"tune": {"trials": 4, "parameters": "all"}})
    planned = Plan(spec)
    assert [(t.method.name, t.network) for t in planned.trials] == [("ERM", "xgboost")] * 2
    assert len(planned.searches) == 1 and len(planned.not_tried) == 3
    assert "not tried: SVMSMOTE on xgboost, covertype: SVMSMOTE is not tried on more than 50,000" in plan_table(planned)
    assert "epochs" not in plan_table(planned) + tuning_table(planned) and " fits " in tuning_table(planned)
    store = Store(tmp_path)
    write_plan(RunRequest.of(spec), store)
    report = gather([store])
    words = report.rendered("md")
    assert "epochs" not in words and "0 tuning trials and 0 fits took" in words
    assert "not tried: svm is not tried on more than 50,000 training rows, and covertype has 464,812 here" in words
    assert report.rows["reason"].str.startswith("not tried").sum() == 3 * 2 * 4, "rows, seeds, groups"
    facts = status_facts(store)
    assert facts["planned"] == 2 and facts["states"] == {"missing": 2}
    skipped = [each for each in facts["troubles"] if each["state"] == "not tried"]
    assert sorted((each["method"], each["trial"].split(", ")[-1]) for each in skipped) == [
        ("ERM", "svm"), ("SVMSMOTE", "svm"), ("SVMSMOTE", "xgboost")
    ]  # fmt: skip
    queue, untuned = JobQueue(store), RunRequest.of(parse(raw))
    fill_queue(queue, untuned, None, Silent())
    assert len(queue) == 2
    progress = RunProgress(spec.shots)
    progress.add(untuned.spec, {})
    assert progress.finished == (0, 2), "nobody waits for the others"
    with pytest.raises(NetworkError, match="svm is not tried"):
        check_names(Plan(parse(raw | {"network": "svm"})).trials, {})
