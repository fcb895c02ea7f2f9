"""From a spec to its trials: the product of the axes, keys that stay, and one clear message for each mistake."""

import hashlib
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.harness.errors import SpecError, StoreError
from tailboard.harness.spec.parser import parse, read, shipped
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import PROTOCOL, Data, Method, Spec, Training, Trial, plan
from tailboard.harness.storage.store import Store

TINY = {"name": "t", "data": "fashion-mnist-mini", "methods": ["ERM"], "network": "small", "seeds": 1}
LDAM = {"epochs": 200, "batch_size": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4, "schedule": "step",
        "warmup_epochs": 5, "ema": 0, "label_smoothing": 0, "crop_padding": 4, "flip": True, "augment": "none",
        "cutmix": 0, "cutmix_alpha": 1, "precision": "float32"}  # fmt: skip


def key(**changes) -> str:
    (trial,) = plan(parse(TINY | changes))
    return trial.key


def test_a_key_never_changes():
    """A key that changes loses every stored record: raise PROTOCOL, and only then change these."""
    trial = Trial(
        data=Data(name="cifar10", imbalance_factor=100),
        method=Method(name="Focal Loss", values={"loss.gamma": 2}),
        network="resnet32",
        training=Training(**LDAM),
        seed=3,
        protocol=1,
    )
    assert trial.canonical == (
        '{"data":{"head":null,"imbalance_factor":100,"name":"cifar10","profile":"exp"},'
        '"method":{"name":"Focal Loss","plugin":null,"values":{"loss.gamma":2}},"network":"resnet32","protocol":1,'
        '"seed":3,"stage":"report","threads":1,"training":{"augment":"none","batch_size":128,"crop_padding":4,'
        '"cutmix":0,"cutmix_alpha":1,"ema":0,"epochs":200,"flip":true,"label_smoothing":0,"lr":0.1,"momentum":0.9,'
        '"precision":"float32","schedule":"step","warmup_epochs":5,"weight_decay":0.0002},"val_per_class":0}'
    )
    assert trial.key == "5a8272d32e50f4da9187"
    now = trial.model_copy(update={"protocol": 2})
    assert now.canonical == trial.canonical.replace('"protocol":1,', '"protocol":2,')
    assert now.model_copy(update={"independent": True}).canonical == (
        now.canonical.replace('"method":', '"independent":true,"method":')
    )
    assert "independent" not in now.model_dump()


def test_a_plan_keeps_its_protocol_and_one_that_does_not_say_is_of_the_first():
    spec = parse(TINY)
    assert spec.protocol == PROTOCOL
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    first = spec.model_copy(update={"protocol": 1})
    assert "protocol" not in first.model_dump()
    again = Spec.model_validate_json(first.model_dump_json())
    assert {trial.protocol for trial in plan(again)} == {1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"data": {"name": "cifar10", "imbalance_factor": 100}}, {"data": {"name": "cifar10", "train_ratio": 0.01}}),
        ({"data": {"name": "cifar10", "imbalance_factor": 10}}, {"data": [{"name": "cifar10", "train_ratio": [0.1]}]}),
        ({"data": "cifar10"}, {"data": [{"name": "cifar10", "imbalance_factor": 100.0}]}),
        ({"methods": "ERM"}, {"methods": [{"name": "ERM", "values": {}}]}),
        (
            {"methods": {"name": "Focal Loss", "values": {"loss.gamma": 1}}},
            {"methods": {"name": "Focal Loss", "values": {"loss.gamma": 1.0}}},
        ),
        ({"training": {"epochs": 20}}, {"training": {"preset": "t5", "epochs": 20.0, "momentum": 0.9}}),
        ({"seeds": 1}, {"seeds": [0]}),
        ({}, {"name": "other", "shots": {"few": 5}, "resources": {"retries": 9}, "tracking": {"experiment": "x"}}),
    ],
)
def test_the_same_trial_in_other_words_has_the_same_key(one, other):
    assert key(**one) == key(**other)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"name": "cifar10"}},
        {"data": {"name": "fashion-mnist-mini", "imbalance_factor": 10}},
        {"data": {"name": "fashion-mnist-mini", "profile": "step"}},
        {"data": {"name": "fashion-mnist-mini", "head": 60}},
        {"methods": ["LDAM-DRW"]},
        {"methods": [{"name": "ERM", "values": {"loss.gamma": True}}]},
        {"network": "resnet32"},
        {"training": {"preset": "ldam2019"}},
        {"training": {"lr": 0.2}},
        {"seeds": [1]},
        {"resources": {"cpu": 2}},
        {"resources": {"gpu": 1}},  # bfloat16
    ],
)
def test_whatever_changes_the_numbers_changes_the_key(changes):
    assert key(**changes) != key()


def test_a_changed_copy_of_a_trial_has_a_key_of_its_own():
    (trial,) = plan(parse(TINY))
    before = trial.key
    changed = trial.model_copy(update={"seed": 77})
    assert changed.key != before == trial.key
    assert changed.key == Trial.model_validate_json(changed.model_dump_json()).key


def some(values) -> st.SearchStrategy[list]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


@given(
    factors=some([1, 10, 50.5, 100]), profiles=some(["exp", "step"]), methods=some(["ERM", "Resampling", "LDAM-DRW"]),
    gammas=some([0.5, 1, 2]), networks=some(["small", "resnet32", "wrn-28-10"]), epochs=some([1, 2, 20]),
    presets=some(["t5", "ldam2019"]), seeds=some([0, 1, 7, 99]),
)  # fmt: skip
@settings(max_examples=60)
def test_the_plan_is_the_product_of_the_axes(factors, profiles, methods, gammas, networks, epochs, presets, seeds):
    spec = parse({
        "name": "p",
        "data": {"name": ["cifar10", "cifar100"], "imbalance_factor": factors, "profile": profiles},
        "methods": [*methods, {"name": "Focal Loss", "values": {"loss.gamma": gammas}}],
        "network": networks,
        "training": {"preset": presets, "epochs": epochs},
        "seeds": seeds,
    })  # fmt: skip
    trials = plan(spec)
    axes = (["cifar10", "cifar100"], factors, profiles, networks, epochs, presets, seeds)
    assert len(trials) == math.prod(map(len, axes)) * (len(methods) + len(gammas))
    assert len({trial.key for trial in trials}) == len(trials)
    assert [trial.seed for trial in trials] == seeds * (len(trials) // len(seeds)), "seeds are innermost"
    assert [trial.key for trial in plan(Spec.model_validate_json(spec.model_dump_json()))] == [t.key for t in trials]


def test_a_trial_that_two_axes_name_is_planned_once():
    assert len(plan(parse(TINY | {"methods": ["ERM", "ERM"], "seeds": [0, 1]}))) == 2


def test_a_plugins_text_is_part_of_its_own_methods_keys_only(tmp_path):
    def keys(text: str) -> dict[str, str]:
        (tmp_path / "mine.py").write_text(text)
        raw = TINY | {"methods": ["ERM", {"name": "Mine", "plugin": "mine.py"}]}
        return {trial.method.name: trial.key for trial in plan(parse(raw, tmp_path))}

    one, other = keys("x = 1"), keys("x = 2")
    assert one["ERM"] == other["ERM"]
    assert one["Mine"] != other["Mine"]
    added = with_plugin(parse(TINY), "x = 1", ["Mine"])
    assert {trial.method.name: trial.key for trial in plan(added)} == one


@pytest.mark.parametrize("name", shipped())
def test_shipped_specs_plan(name):
    spec = read(name)
    assert spec.name == name
    assert plan(spec)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sedes": 5}, ["'sedes'", "'seeds'"]),
        ({"seeds": 0}, ["seeds", "0"]),
        ({"seeds": -1}, ["seeds", "-1"]),
        ({"seeds": True}, ["seeds", "True"]),
        ({"seeds": [0, -1]}, ["seeds", "-1"]),
        ({"seeds": "five"}, ["seeds", "five"]),
        ({"seeds": []}, ["seeds"]),
        ({"name": "a/b"}, ["name", "a/b"]),
        ({"name": ".."}, ["name"]),
        ({"name": 7}, ["name", "7"]),
        ({"methods": []}, ["methods"]),
        ({"methods": {"ERM": {}}}, ["methods: a name is missing", "'ERM'", "{name: ERM, ...}"]),
        ({"data": {"factor": 10, "cifar10": None}}, ["data: a name is missing", "{name: cifar10, ...}"]),
        ({"methods": [{"nme": "ERM"}]}, ["name: Field required"]),
        ({"methods": {"name": "SAM", "values": {"step": {"rho": 1}}}}, ["methods.values.step:", "write step.rho:"]),
        ({"methods": {"name": "SAM", "values": {"step.rho": [1, [2]]}}}, ["methods.values.step.rho:", "[2]"]),
        ({"methods": [5]}, ["methods", "5"]),
        ({"methods": [{"name": "ERM", "value": {}}]}, ["methods", "'value'", "'values'"]),
        ({"methods": [{"values": {}}]}, ["methods.name"]),
        ({"methods": [{"name": "X", "plugin": "no.py"}]}, ["methods.plugin", "no.py"]),
        ({"methods": [{"name": "X", "plugin": "a\0b"}]}, ["methods.plugin"]),
        ({"data": None}, ["data"]),
        ({"data": [{"name": "cifar10", "imbalance_facto": 10}]}, ["data", "'imbalance_factor'"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": 0.5}]}, ["data.imbalance_factor", "0.5"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": "ten"}]}, ["data.imbalance_factor", "ten"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": float("nan")}]}, ["data.imbalance_factor"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": float("inf")}]}, ["data.imbalance_factor"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": True}]}, ["data.imbalance_factor", "True"]),
        ({"data": [{"name": "cifar10", "imbalance_factor": []}]}, ["data.imbalance_factor"]),
        ({"data": [{"name": "cifar10", "train_ratio": 2}]}, ["data", "train_ratio"]),
        ({"data": [{"name": "cifar10", "train_ratio": "x"}]}, ["data", "train_ratio"]),
        ({"data": [{"name": "cifar10", "train_ratio": 0.1, "imbalance_factor": 10}]}, ["data", "not both"]),
        ({"data": [{"name": "cifar10", "profile": "expo"}]}, ["data.profile", "expo", "'exp'"]),
        ({"network": []}, ["network"]),
        ({"network": 3}, ["network", "3"]),
        ({"training": []}, ["training"]),
        ({"training": 3}, ["training", "3"]),
        ({"training": {"preset": "t4"}}, ["training.preset", "'t4'", "'t5'"]),
        ({"training": {"preset": {"a": 1}}}, ["training.preset"]),
        ({"training": {"preset": None}}, ["training.preset"]),
        ({"training": {"epoch": 3}}, ["training", "'epoch'", "'epochs'"]),
        ({"training": {"epochs": "many"}}, ["training.epochs", "many"]),
        ({"training": {"epochs": True}}, ["training.epochs", "True"]),
        ({"training": {"epochs": 1.5}}, ["training.epochs", "1.5"]),
        ({"training": {"epochs": 0}}, ["training.epochs", "0"]),
        ({"training": {"ema": 1}}, ["training.ema", "1"]),
        ({"training": {"schedule": "linear"}}, ["training.schedule", "'cosine'"]),
        ({"resources": {"cpus": 1}}, ["resources", "'cpu'"]),
        ({"resources": {"cpu": 0}}, ["resources.cpu", "0"]),
        ({"resources": None}, ["resources"]),
        ({"shots": {"few": 200}}, ["shots", "few", "200"]),
        ({"shots": {"by": "rank"}}, ["shots.by", "rank", "'tercile'"]),
        ({"tracking": {"url": "x"}}, ["tracking", "'uri'"]),
        ({"tracking": {"uri": "http://me:secret@host"}}, ["tracking.uri", "MLFLOW_TRACKING_USERNAME"]),
        ({"tracking": {"uri": "https://token@host"}}, ["tracking.uri", "MLFLOW_TRACKING_USERNAME"]),
        ({"tracking": {"uri": "http://[1"}}, ["tracking.uri"]),
    ],
    ids=str,
)
def test_a_mistake_names_its_field_and_the_nearest_word(changes, words):
    with pytest.raises(SpecError) as caught:
        parse(TINY | changes)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "secret" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("quikstart", ["'quikstart'", "'quickstart'"]),
        ("nowhere.yaml", ["'nowhere.yaml'"]),
        ("tab.yaml", ["tab.yaml", "not YAML"]),
        ("list.yaml", ["list.yaml", "mapping"]),
        ("empty.yaml", ["empty.yaml", "mapping"]),
        ("binary.yaml", ["binary.yaml", "cannot be read"]),
    ],
)
def test_a_file_that_is_no_spec(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    texts = {"tab": b"a:\n\t- b: [", "list": b"- a", "empty": b"", "binary": b"\xff\xfe\x00"}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_bytes(text)
    with pytest.raises(SpecError) as caught:
        read(source)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


WORDS = st.sampled_from(["name", "values", "preset", "epochs", "cpu", "uri", "few", "train_ratio", 1])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.sampled_from(["ERM", "t5", "cifar10", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(changes=st.dictionaries(st.sampled_from([*Spec.model_fields, "network", "training"]), ANYTHING, max_size=3))
@settings(max_examples=300)
def test_whatever_yaml_holds_it_is_a_plan_or_one_message(changes):
    raw = yaml.safe_load(yaml.safe_dump(TINY | changes))
    try:
        plan(parse(raw))
    except SpecError as error:
        assert str(error)


def test_a_plan_that_no_memory_holds_is_refused():
    seeds = list(range(10_000))
    data = [{"name": "fashion-mnist-mini", "imbalance_factor": factor} for factor in range(2, 203)]
    with pytest.raises(SpecError, match=r"2,010,000 trials are more than"):
        parse({"name": "t", "data": data, "methods": ["ERM"], "network": "small", "seeds": seeds})


@pytest.mark.parametrize("uri", ["http://me:secret@host", "https://token@host", "postgresql:///m?user=u&Password=p"])
def test_a_password_in_the_tracking_address_is_refused(uri):
    raw = {"name": "t", "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10}, "methods": "ERM"}
    with pytest.raises(SpecError, match="keep the password out of the spec"):
        parse(raw | {"network": "small", "tracking": {"uri": uri}})


def test_a_password_in_the_store_s_address_is_refused():
    with pytest.raises(StoreError, match="keep the password out of --store"):
        Store("sftp://me:secret@host/x")


def test_an_address_that_is_none_is_no_store():
    with pytest.raises(StoreError, match="cannot be a store"):
        Store("s3://[x")


@given(old=st.integers(0, 2**40), new=st.integers(0, 2**40), values=st.dictionaries(st.text(max_size=8), st.text()))
def test_the_key_of_another_seed_needs_no_trial(old, new, values):
    """Whatever words a method's values hold, those of the seed among them."""
    words = {"seed": old, "stage": "report", f'"seed":{old},"stage":': "x"} | values
    method = Method(name=f'"seed":{old},"stage":', values=words)
    trial = plan(parse({"name": "t", "data": "cifar10", "methods": ["ERM"], "seeds": 1}))[0]
    trial = trial.model_copy(update={"method": method, "seed": old})
    assert trial.keys([new, old]) == [trial.model_copy(update={"seed": new}).key, trial.key]
    words = {f'"protocol":{PROTOCOL},"seed":{old},"stage":': "x"} | words
    trial = trial.model_copy(update={"method": Method(name="m", values=words)})
    text = trial.canonical_without("seed", "protocol")
    assert trial.row_key == hashlib.sha256(text.encode()).hexdigest()[:20]
