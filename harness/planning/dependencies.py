"""Trials that start from another trial's trained network, as M2m does from the ERM trial of its seed and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...methods.part import Scene
from ..registry.methods import recipe_of
from ..registry.networks import network
from ..spec.schema import Method, Trial
from ..storage.store import Store, StoreError


@dataclass(frozen=True)
class Needs:
    """``trials``: a plan's, and those that they need and the plan does not list. ``of``: the keys that each needs."""

    trials: tuple[Trial, ...]
    of: Mapping[str, tuple[str, ...]]

    @property
    def kept(self) -> frozenset[str]:
        """The trials whose weights are stored, since others start from them."""
        return frozenset(key for keys in self.of.values() for key in keys)

    def failed(self, store: Store) -> set[str]:
        """The needed trials that are finished and have no network to start from."""
        return {key for key in self.kept & store.finished() if store.outcome(key).status != "complete"}

    def done(self, store: Store) -> set[str]:
        """The finished trials; not those whose weights are missing and still asked for by one that is not finished."""
        finished = store.finished()
        return store.done(key for asks, keys in self.of.items() if asks not in finished for key in keys)


def needs(trials: Sequence[Trial], plugins: Mapping[str, str]) -> Needs:
    """Every trial that must run for the plan, the needed ones first. MethodError as :func:`recipe_of`."""
    found: dict[str, Trial] = {}
    of: dict[str, tuple[str, ...]] = {}

    def add(trial: Trial) -> None:
        if trial.key not in found:
            inner = [needed(trial, name) for name in recipe_of(trial, plugins).needs()]
            for other in inner:
                add(other)
            found[trial.key] = trial
            of.update({trial.key: tuple(other.key for other in inner)} if inner else {})

    for trial in trials:
        add(trial)
    return Needs(tuple(found.values()), of)


def needed(trial: Trial, name: str) -> Trial:
    """The trial of another method with the same data, network and seed, at that method's own values.

    Its routine is the one that both share, whatever learning rate was found for the first.
    """
    own = {"method": Method(name=name), "training": trial.base or trial.training, "base": None}
    return trial.model_copy(update=own)


def pretrained(trial: Trial, name: str, scene: Scene, channels: int, store: Store) -> nn.Module:
    """The averaged network of :func:`needed`, frozen. StoreError where its weights are not in the store."""
    key = needed(trial, name).key
    try:
        state = store.tensors(f"weights/{key}.pt", scene.device)
    except FileNotFoundError:
        raise StoreError(f"{trial.method.name} starts from {name}'s trial {key}, whose weights are missing") from None
    except StoreError:
        store.remove(f"weights/{key}.pt")  # so that the next run trains them again
        raise
    model = network(trial.network, channels, scene.classes)
    head = recipe_of(needed(trial, name), {}).head
    if head:
        model.head = head.build(scene)
    model.load_state_dict(state)
    return model.to(scene.device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
