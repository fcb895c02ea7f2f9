"""YAML as specs are written in it: plain values only, ``1e-3`` is a number, a key that stands twice is an error; and
whatever a text says, it is values of a bounded size or a YAMLError."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

MOST_VALUES = 500_000  # in a text, each value counted as often as its aliases repeat it
MOST_CHARACTERS = 1 << 22
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def load(text: str) -> Any:
    """The value that a text stands for.

    Raises:
        yaml.YAMLError: where it is not YAML, or too much. RecursionError where it is nested too deeply.
    """
    loader = Loader(text)
    loader.name = "the spec"  # as its errors call it
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which builds plain values only."""

    def get_single_node(self) -> yaml.Node | None:
        """The text as nodes. An alias is the node that it repeats, so a few lines may stand for gigabytes."""
        node = super().get_single_node()
        if node is not None:
            self._measure(node, {})
        return node

    def _measure(self, node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
        """The values below a node and their characters, aliases written out. ConstructorError where they are too many,
        or a node holds itself."""
        if id(node) in known:
            size = known[id(node)]
            if size is None:
                raise ConstructorError(None, None, "an alias stands inside of what it repeats", node.start_mark)
            return size
        known[id(node)] = None
        values, characters = 1, 0
        if isinstance(node, yaml.ScalarNode):
            characters = len(node.value)
        for inner in node.value if isinstance(node, yaml.CollectionNode) else ():
            for part in inner if isinstance(node, yaml.MappingNode) else (inner,):
                more = self._measure(part, known)
                values, characters = values + more[0], characters + more[1]
        if values > MOST_VALUES or characters > MOST_CHARACTERS:
            raise ConstructorError(None, None, "its aliases stand for more than a spec may hold", node.start_mark)
        known[id(node)] = values, characters
        return values, characters

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A node's value: PyYAML's constructors raise whatever Python does of a word that is no number, date or truth.

        Raises:
            ConstructorError: in place of all that, with the word.
        """
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError, MemoryError):
            raise
        except Exception as error:
            kind, word = node.tag.rpartition(":")[2], str(node.value)[:40]
            raise ConstructorError(None, None, f"{word!r} is no {kind} ({error})", node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping. ConstructorError where a key stands twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<" and key in seen:
                raise ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number. ValueError where it has more than 64 bits."""
        value = super().construct_yaml_int(node)
        if value.bit_length() > 64:
            raise ValueError("it has more than 64 bits")
        return value

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        """A text. ValueError where it holds half of a character."""
        value = super().construct_yaml_str(node)
        value.encode()  # half of a character, as "\\ud800" writes it, can be stored nowhere
        return value

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        """ValueError for what YAML takes for a date."""
        raise ValueError("a spec has no dates; in quotes it is a word")


# YAML 1.1, which PyYAML follows, asks for a point: without this, 1e-3 would be a word.
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
Loader.add_constructor("tag:yaml.org,2002:str", Loader.construct_yaml_str)
Loader.add_constructor(_TIMESTAMP, Loader.refuse_date)


class Dumper(yaml.SafeDumper):
    """Writes what :class:`Loader` reads as the same: a word that it would take for a number stands in quotes."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers
