"""A ``$filter`` once parsed: what it uses, and the test it makes of an object."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

__all__ = (
    "COUNT",
    "Combination",
    "Comparison",
    "EdmType",
    "FilterError",
    "Node",
    "ODataFilter",
    "Property",
    "Quantifier",
    "Use",
    "parse_moment",
)

COUNT: Final = "$count"
"""The last name of a path that counts items."""

EdmType = Literal[
    "String",
    "Boolean",
    "Int32",
    "Double",
    "Guid",
    "DateTimeOffset",
    "Complex",
    "Collection(String)",
    "Collection(Complex)",
]
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
        operators: What always works: ``eq``, ``in``, ``startsWith``, ``null`` (comparing with null), ``count`` (asking
            how many items it has), ``all`` and so on.
        advanced: What works in an advanced query only.
        members: What a complex one, or each item of a collection of such, is made of. What works with them is said at
            the property they belong to.
    """

    type: EdmType = "String"
    operators: frozenset[str] = frozenset()
    advanced: frozenset[str] = frozenset()
    members: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """An operator, and the property it is used on."""

    operator: str
    property: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A property beside literals.

    Attributes:
        operator: Such as ``eq``, ``in`` or ``startsWith``.
        path: The names that lead to it, the last one perhaps ``$count``; none within a quantifier is the item itself.
        type: Its type.
        values: The literals; more than one only for ``in``.
    """

    operator: str
    path: tuple[str, ...]
    type: EdmType
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Quantifier:
    """
    A condition on the items of a collection.

    Attributes:
        operator: How many must pass.
        path: The names that lead to the collection.
        body: The condition; its paths begin at an item.
    """

    operator: Literal["any", "all"]
    path: tuple[str, ...]
    body: Node


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions, and what joins them."""

    operator: Literal["and", "or", "not"]
    parts: tuple[Node, ...]


Node: TypeAlias = "Comparison | Quantifier | Combination"


@dataclass(frozen=True, slots=True)
class ODataFilter:
    """
    A parsed filter.

    Attributes:
        root: The outermost condition.
    """

    root: Node

    def test(self, reader: Callable[[str], Reader]) -> Test:
        """
        Return the function from an object to whether it passes.

        Args:
            reader: From a property's name to the function that reads it from an object's number.
        """

        def at(path: tuple[str, ...]) -> Reader:
            read, further = reader(path[0]), path[1:]
            return (lambda index: _descend(read(index), further)) if further else read

        return _build(self.root, at)

    @property
    def uses(self) -> Iterator[Use]:
        """Every operator with the property its path begins with; ``not`` is used on each property under it."""
        return _uses(self.root)

    @property
    def widest(self) -> tuple[str, int]:
        """The longest ``or`` or ``in``: which of both, and how many alternatives it has."""
        widths = [
            (node.operator, len(node.parts if isinstance(node, Combination) else node.values))
            for node in _nodes(self.root)
            if not isinstance(node, Quantifier) and node.operator in ("or", "in")
        ]
        return max(widths, key=operator.itemgetter(1), default=("or", 0))

    def keys(self, properties: Collection[str]) -> tuple[str, ...] | None:
        """Return the only values these unique properties can have, ``None`` where the filter leaves that open."""
        root = self.root
        for node in root.parts if isinstance(root, Combination) and root.operator == "and" else (root,):
            if isinstance(node, Comparison) and node.path[0] in properties and node.operator in ("eq", "in"):
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


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Combination):
        for part in node.parts:
            yield from _nodes(part)
    elif isinstance(node, Quantifier):
        yield from _nodes(node.body)


def _uses(node: Node, within: tuple[str, ...] = ()) -> Iterator[Use]:
    """Yield the uses in a condition; *within* leads to the collection whose items it is about."""
    if isinstance(node, Combination):
        for part in node.parts:
            if node.operator == "not":
                yield from (Use("not", name) for name in dict.fromkeys(use.property for use in _uses(part, within)))
            yield from _uses(part, within)
        return
    path = within + node.path
    if isinstance(node, Quantifier):
        if node.operator == "all":
            yield Use("all", path[0])
        yield from _uses(node.body, path)
        return
    yield Use("count" if path[-1] == COUNT else node.operator, path[0])
    if path[-1] == COUNT and node.operator == "ne":
        yield Use("ne", path[0])
    if None in node.values:
        yield Use("null", path[0])


def _descend(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if name == COUNT:
            return len(value or ())
        value = None if value is None else value[name]
    return value


def _build(node: Node, at: Callable[[tuple[str, ...]], Callable[[Any], Any]]) -> Callable[[Any], bool]:
    """Return the test of what *at* reads from, by path."""
    if isinstance(node, Combination):
        tests = [_build(part, at) for part in node.parts]
        match node.operator:
            case "and":
                return lambda subject: all(test(subject) for test in tests)
            case "or":
                return lambda subject: any(test(subject) for test in tests)
            case "not":
                return lambda subject: not tests[0](subject)
    read = at(node.path)
    if isinstance(node, Comparison):
        passes = _value_test(node)
        return lambda subject: passes(read(subject))
    holds, enough = _build(node.body, _from_item), any if node.operator == "any" else all
    return lambda subject: enough(holds(item) for item in read(subject) or ())


def _from_item(path: tuple[str, ...]) -> Callable[[Any], Any]:
    return lambda item: _descend(item, path)


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
