"""A spec with the methods of plugin files beside its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .schema import MethodEntry, Spec


def with_plugin_files(spec: Spec, files: Iterable[Path]) -> Spec:
    """The spec with the methods of plugin files added, each file's together. MethodError for what is wrong in one."""
    for file in files:
        from ...methods.plugin import plugin_file  # imports torch

        text, methods = plugin_file(file)
        spec = with_plugin(spec, text, list(methods))
    return spec


def with_plugin(spec: Spec, text: str, names: list[str]) -> Spec:
    """The spec with methods of a plugin file added.

    Args:
        spec: What it is added to.
        text: The file's.
        names: The methods.

    Returns:
        Another spec, which holds the text.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    methods = tuple(MethodEntry(name=name, plugin=digest) for name in names)
    return spec.model_copy(update={"methods": spec.methods + methods, "plugins": spec.plugins | {digest: text}})
