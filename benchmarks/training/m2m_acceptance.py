"""How many of the images that M2m generates its judge accepts, on CIFAR-10 under the paper's routine (``t5``).

    .venv/bin/python benchmarks/training/m2m_acceptance.py ROOT [network] [epochs]

ROOT holds CIFAR-10 in one of its layouts; a re-encoded copy will do. The judge and the learner are ERM's networks, of
independent draws, on the long tail at IF 100; the learner has trained for 80 percent of the epochs, where M2m begins.
One epoch of class-balanced batches then goes through M2m's generation under each setting; no weight changes.
``ceiling`` is the share of slots for which beta's coin lets an image be made, ``accepted`` the share of made images
that the judge takes for the class, ``filled`` the share of slots that hold one. The table is
written to docs/results/benchmarks/m2m-acceptance.json, from which published_numbers.py makes that of
docs/results/m2m.md.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import torch

from tailboard.datasets.lock import locked
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.text import table
from tailboard.harness.training.learners.image_learner import image_learner
from tailboard.harness.training.loop import TrainingLoop
from tailboard.harness.training.scoring_process import scoring_process
from tailboard.methods.recipe import Recipe
from tailboard.methods.sampling.balance import DeferredResampling
from tailboard.methods.sampling.m2m import M2m, Translator

OURS = M2m()
PRINTED = M2m(relative=False, step_size=0.1)
SETTINGS = {  # what is varied: the part
    **{f"beta={beta:g}": dataclasses.replace(OURS, beta=beta) for beta in (0.9, 0.99, 0.999, 0.9999)},
    "step_size=0.1": dataclasses.replace(OURS, step_size=0.1),
    "steps=40, step_size=0.1": dataclasses.replace(OURS, steps=40, step_size=0.1),
    "gamma=0.5": dataclasses.replace(OURS, gamma=0.5),
    "as printed": PRINTED,
    "as printed, gamma=0.5": dataclasses.replace(PRINTED, gamma=0.5),
}


GOAL = Path(__file__).resolve().parents[2] / "docs" / "results" / "benchmarks" / "m2m-acceptance.json"
KEPT = ("setting", "ceiling", "accepted", "filled", "accepted, rarer half")


def trial(network: str, epochs: int, **training: float) -> Trial:
    raw = {"name": "m2m", "data": {"name": "cifar10", "imbalance_factor": 100}, "methods": "ERM", "seeds": 1,
           "network": network, "training": {"preset": "t5", "epochs": epochs} | training}  # fmt: skip
    return plan(parse(raw))[0]


def network_of(erm: Trial, root: Path, until: int) -> TrainingLoop:
    data = scoring_process().split(erm, root, False)
    with locked():
        run = image_learner(erm, data.images, data.counts, Recipe(), torch.device("cpu"), Store(""))
        for line in run.epochs():
            print(f"epoch {line['epoch'] + 1}: loss {line['loss']:.3f}", file=sys.stderr, flush=True)
            if run.done == until:
                break
    return run


def accepted(part: M2m, learner: TrainingLoop, judge: torch.nn.Module) -> dict[str, float]:
    """The notes of one epoch of generation, from the epoch at which M2m begins."""
    epoch, scene = learner.done, learner.scene
    sampler = DeferredResampling().build(scene)
    learner.streams.restart(epoch)
    scene.epoch, scene.frequencies = epoch, sampler.frequencies(epoch)
    translator = Translator(part, scene, judge)
    for chosen in sampler(learner.labels, epoch).split(learner.batch_size):
        pixels = learner.material.pixels(learner._augment(learner.material.x[chosen]))
        translator(pixels, learner.material.y[chosen], epoch)
    return translator.notes()


def main() -> None:
    root, network = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "small"
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    torch.set_num_threads(1)
    erm = trial(network, epochs)
    judge = network_of(erm.model_copy(update={"independent": True}), root, epochs)
    judge.model.load_state_dict(judge.averaged_weights())
    judge.model.eval().requires_grad_(False)
    learner = network_of(erm, root, int(0.8 * epochs))
    lines = []
    for words, part in SETTINGS.items():
        start = time.perf_counter()
        notes = accepted(part, learner, judge.model)
        rare = [notes[name] for name in (f"accepted_{c}" for c in range(5, 10)) if name in notes]
        shares = {name: f"{notes.get(name, 0.0):.2f}" for name in ("ceiling", "accepted", "filled")}
        rarest = {"accepted, rarer half": " ".join(f"{share:.2f}" for share in rare)}
        lines.append({"setting": words} | shares | rarest | {"seconds": f"{time.perf_counter() - start:.0f}"})
    head = ["Setting", "Ceiling", "Accepted", "Filled", "Accepted, classes 6 to 10"]
    written = {"head": head, "lines": [[line[name] for name in KEPT] for line in lines]}
    GOAL.parent.mkdir(exist_ok=True)
    GOAL.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"{network}, {epochs} epochs of t5, last loss of the judge {judge.history[-1]['loss']:.3f}\n\n{table(lines)}")


if __name__ == "__main__":
    main()
