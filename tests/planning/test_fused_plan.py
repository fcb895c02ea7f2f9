"""What ``plan`` says of seeds that are to be fused: which are, which are not and why, and that a CPU gains nothing."""

from __future__ import annotations

from small_spec import SMALL
from tailboard.harness.planning.fused_seeds import remarks
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import Spec

CPU = "resources.fuse_seeds: fused seeds gain nothing on a CPU; it is for networks that leave a GPU idle"
THEIRS = """
from tailboard.methods.optimizers.sharpness import SAM
from tailboard.methods.recipe import Recipe, register
class Other(SAM):
    pass
register("Other", Recipe(step=Other()))
"""


def spec_of(**changes) -> Spec:
    return parse(SMALL | {"seeds": 3, "resources": {"fuse_seeds": True}} | changes)


def said(spec: Spec) -> list[str]:
    return remarks(RunRequest.of(spec).plan)


def test_each_kind_is_told_in_one_line():
    lines = said(spec_of(methods=["ERM", "cRT", "M2m"], tune={"trials": 4}))
    assert lines == [
        "fused seeds: seeds 0, 1, 2 of each row are trained as one: ERM, M2m",
        "not fused: cRT on small: Retrain (slot step) does not declare that it serves several seeds at once",
        "not fused: the networks that others start from: each is the trial that another spec would share",
        "not fused: the trials of searches: each is stopped or goes on by itself",
        CPU,
    ]


def test_on_a_gpu_it_is_told_what_a_worker_holds():
    lines = said(spec_of(resources={"fuse_seeds": True, "gpu": 1}))
    assert lines[1:] == ["resources.fuse_seeds: a worker holds 3 networks; ask for a gpu that holds them"]


def test_what_cannot_be_fused_says_why_and_has_the_key_that_it_has_alone():
    alone, many = spec_of(seeds=1), spec_of(seeds=33)
    assert said(alone) == ["not fused: ERM on small: 2 to 32 seeds can be, and the spec has 1"]
    assert said(many) == ["not fused: ERM on small: 2 to 32 seeds can be, and the spec has 33"]
    made = spec_of(training={"compile": True})
    assert said(made) == ["not fused: ERM on small: a compiled network (training.compile) is one seed's"]
    table = spec_of(data={"name": "simulated-table"}, network=["logistic_regression", "mlp"], training={})
    assert {line.partition(": ")[2].partition(": ")[2] for line in said(table)} == {"only networks on images are fused"}
    assert not any(trial.fused for spec in (alone, many, table) for trial in RunRequest.of(spec).plan.trials)


def test_what_a_plugin_inherits_is_no_declaration():
    lines = said(with_plugin(spec_of(), THEIRS, ["Other"]))
    assert lines[0].endswith(": ERM")
    assert (
        lines[1] == "not fused: Other on small: Other (slot step) does not declare that it serves several seeds at once"
    )


def test_nothing_is_said_where_it_is_not_asked_for_and_the_spec_is_as_it_was():
    spec = spec_of(resources={})
    assert said(spec) == [] and RunRequest.of(spec).spec == spec
    marked = RunRequest.of(spec_of()).spec
    assert [entry.fused for entry in marked.methods] == [(0, 1, 2)]
    again = RunRequest.of(marked.model_copy(update={"resources": spec.resources})).spec
    assert again.model_dump() == spec.model_dump(), "a plan that was fused once is not fused for ever"
    assert Spec.model_validate_json(marked.model_dump_json()) == marked
