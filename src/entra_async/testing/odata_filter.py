"""A ``$filter`` once parsed: what it uses, and the test it makes of an object."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

__all__ = ("Combination", "Comparison", "EdmType", "Filter", "FilterError", "Node", "Property", "Use", "parse_moment")

EdmType = Literal["String", "Boolean", "Int32", "DateTimeOffset", "Collection(String)"]
Reader = Callable[[int], Any]
Test = Callable[[int], bool]

_ORDERED: Final = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
_FUNCTIONS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}


class FilterError(Exception):
    """The text is no filter, or not one over these properties. The message is what an OData service says."""


@dataclass(frozen=True, slots=True)
class Property:
    """
    What a filter may do with a property.

    Attributes:
        type: Its type; literals must be of the same.
        operators: What always works: ``eq``, ``in``, ``startsWith``, ``null`` (comparing with null) and so on.
        advanced: What works in an advanced query only.
    """

    type: EdmType = "String"
    operators: frozenset[str] = frozenset()
    advanced: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """An operator, and the property it is used on."""

    operator: str
    property: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A property beside literals. Of a collection, one item that passes is enough.

    Attributes:
        operator: Such as ``eq``, ``in`` or ``startsWith``.
        property: Its name.
        type: Its type.
        values: The literals; more than one only for ``in``.
    """

    operator: str
    property: str
    type: EdmType
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions, and what joins them."""

    operator: Literal["and", "or", "not"]
    parts: tuple[Comparison | Combination, ...]


Node: TypeAlias = Comparison | Combination


@dataclass(frozen=True, slots=True)
class Filter:
    """
    A parsed filter.

    Attributes:
        root: The outermost condition.
    """

    root: Node

    def test(self, reader: Callable[[str], Reader]) -> Test:
        """
        Return the function that tells whether an object passes.

        Args:
            reader: From a property's name to the function that reads it from an object's number.
        """
        return _build(self.root, reader)

    @property
    def uses(self) -> Iterator[Use]:
        """Every operator with its property; ``not`` is used on each property under it."""
        return _uses(self.root)

    @property
    def widest(self) -> tuple[str, int]:
        """The longest ``or`` or ``in``: which of both, and how many alternatives it has."""
        widths = [
            (node.operator, len(node.values if isinstance(node, Comparison) else node.parts))
            for node in _walk(self.root)
            if node.operator in ("or", "in")
        ]
        return max(widths, key=operator.itemgetter(1), default=("or", 0))

    def keys(self, properties: Collection[str]) -> tuple[str, ...] | None:
        """Return the only values these unique properties can have, ``None`` where the filter leaves that open."""
        root = self.root
        for node in root.parts if isinstance(root, Combination) and root.operator == "and" else (root,):
            if isinstance(node, Comparison) and node.property in properties and node.operator in ("eq", "in"):
                return tuple(value for value in node.values if value is not None)
        return None


def parse_moment(text: str) -> datetime:
    """
    Return the moment a date, or a date with a time, names; UTC where the text has no zone.

    Raises:
        FilterError: If there is no such moment.
    """
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z") if "T" not in text else text)
    except ValueError as error:
        message = f"Unrecognized 'Edm.DateTimeOffset' literal '{text}'."
        raise FilterError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Combination):
        for part in node.parts:
            yield from _walk(part)


def _uses(root: Node) -> Iterator[Use]:
    for node in _walk(root):
        if isinstance(node, Comparison):
            yield Use(node.operator, node.property)
            if None in node.values:
                yield Use("null", node.property)
        elif node.operator == "not":
            yield from (Use("not", inner.property) for inner in _walk(node) if isinstance(inner, Comparison))


def _build(node: Node, reader: Callable[[str], Reader]) -> Test:
    if isinstance(node, Comparison):
        read, passes = reader(node.property), _value_test(node)
        if node.type == "Collection(String)":
            return lambda index: any(passes(item) for item in read(index) or ())
        return lambda index: passes(read(index))
    tests = [_build(part, reader) for part in node.parts]
    match node.operator:
        case "and":
            return lambda index: all(test(index) for test in tests)
        case "or":
            return lambda index: any(test(index) for test in tests)
        case "not":
            return lambda index: not tests[0](index)


def _value_test(node: Comparison) -> Callable[[Any], bool]:
    """Return the test of one value. Texts are compared without regard to case, as the directory does."""

    def comparable(value: Any) -> Any:
        if node.type == "DateTimeOffset":
            return value if isinstance(value, datetime) else parse_moment(value)
        return value.casefold() if isinstance(value, str) else value

    wanted = frozenset(None if value is None else comparable(value) for value in node.values)
    first: Any = next(iter(wanted))
    if node.operator in ("eq", "in"):
        return lambda value: (None if value is None else comparable(value)) in wanted
    if node.operator == "ne":
        return lambda value: (None if value is None else comparable(value)) not in wanted
    ordered = _ORDERED.get(node.operator)
    if ordered is not None:
        return lambda value: value is not None and bool(ordered(comparable(value), first))
    holds = _FUNCTIONS[node.operator]
    return lambda value: value is not None and holds(comparable(value), first)
