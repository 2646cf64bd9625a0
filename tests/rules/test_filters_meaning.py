"""
What filters mean: random conditions, built with Field, are to the emulator's own parser what they are to Python.

A condition is drawn as plain tuples, which one function makes a filter of and another one tests an object with.
"""

from __future__ import annotations

import operator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from entra_async import Field, Filter
from entra_async.rules.http.urls import encode_query
from entra_async.testing.odata.filter import Property
from entra_async.testing.odata.filter_parser import parse_filter

if TYPE_CHECKING:
    from collections.abc import Callable

Condition = tuple[Any, ...]
Path = tuple[str, ...]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "'",
        "''",
        "a' or 'a' eq 'a",
        "') or (1 eq 1",
        "R&D #1+2",
        "null",
        "a\r\nb",
        "x:x",
        "$count",
        "\\'",
        "%27",
        "ẞ",
        "\0",
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "flag": st.booleans(),
    "number": st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 2),
    "double": st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-2, 2)
    | st.decimals(-2, 2, places=1)
    | st.decimals(-(10**20), 10**20),
    "moment": st.datetimes(
        datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
        datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]),
    ),
    "day": st.dates(),
    "sku": st.uuids() | st.sampled_from([UUID(int=number) for number in range(3)]),
}
MEMBERS = {
    "text": Property("String"),
    "flag": Property("Boolean"),
    "number": Property("Int32"),
    "double": Property("Double"),
    "moment": Property("DateTimeOffset"),
    "day": Property("DateTimeOffset"),
    "sku": Property("Guid"),
}
LICENSE = MEMBERS | {"plans": Property("Collection(String)")}
PROPERTIES = MEMBERS | {
    "tags": Property("Collection(String)"),
    "licenses": Property("Collection(Complex)", members=LICENSE),
    "inner": Property("Complex", members=LICENSE),
}

values_or_null = {name: st.none() | values for name, values in VALUES.items()}
tags = st.lists(texts, max_size=3)
licenses = st.fixed_dictionaries(values_or_null | {"plans": tags})
objects = st.fixed_dictionaries(
    values_or_null | {"tags": tags, "licenses": st.lists(licenses, max_size=2), "inner": st.none() | licenses}
)

ORDERS = ("gt", "ge", "lt", "le")
FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": str.__contains__,
}


def of_value(path: Path, name: str) -> st.SearchStrategy[Condition]:
    """Draw a condition on one value of the kind *name*."""
    at, values = st.just(path), VALUES[name]
    drawn = st.tuples(st.sampled_from(["eq", "ne"]), at, st.none() | values)
    drawn |= st.tuples(st.just("in"), at, st.lists(st.none() | values, min_size=1, max_size=3).map(tuple))
    if name not in ("flag", "sku"):
        drawn |= st.tuples(st.sampled_from(ORDERS), at, values)
    if name == "text":
        drawn |= st.tuples(st.sampled_from(sorted(FUNCTIONS)), at, values)
    return drawn


def of_collection(path: Path, of_item: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Draw a condition on how many items there are, or on what they are like."""
    at = st.just(path)
    counts = st.tuples(st.sampled_from(["eq", "ne", *ORDERS]), st.just((*path, "$count")), st.integers(0, 3))
    return counts | st.tuples(st.sampled_from(["any", "all"]), at, of_item)


def combined(conditions: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Draw conditions joined by and, or and not, in any depth."""
    return st.recursive(
        conditions,
        lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
        max_leaves=5,
    )


def of_license(path: Path) -> st.SearchStrategy[Condition]:
    """Draw a condition on what a license, or the inner object, is made of."""
    plans = of_collection((*path, "plans"), combined(of_value((), "text")))
    return st.one_of([of_value((*path, name), name) for name in VALUES]) | plans


conditions = combined(
    st.one_of([of_value((name,), name) for name in VALUES])
    | of_license(("inner",))
    | of_collection(("tags",), combined(of_value((), "text")))
    | of_collection(("licenses",), combined(of_license(())))
)


def build(condition: Condition, item: Field | None = None) -> Filter:
    """Return the filter that says the condition, of an item where there is one."""
    kind, first, *rest = condition
    if kind == "not":
        return ~build(first, item)
    if kind == "and":
        return build(first, item) & build(rest[0], item)
    if kind == "or":
        return build(first, item) | build(rest[0], item)
    field = item
    for name in first:
        field = Field(name) if field is None else field / name
    assert field is not None
    if kind in ("any", "all"):
        made: Filter = getattr(field, kind)(lambda inner: build(rest[0], inner))
    elif kind == "in":
        made = field.in_(*rest[0])
    elif kind in FUNCTIONS:
        made = getattr(field, kind)(rest[0])
    else:
        made = getattr(operator, kind)(field, rest[0])
    return made


def comparable(value: Any) -> Any:
    """Return what is compared: the directory ignores the case of letters, and a day is its first moment."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return float(value)
    if value is not None and hasattr(value, "year") and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


def holds(condition: Condition, subject: Any) -> bool:
    """Return whether the object, or item, passes."""
    kind, first, *rest = condition
    if kind == "not":
        return not holds(first, subject)
    if kind == "and":
        return holds(first, subject) and holds(rest[0], subject)
    if kind == "or":
        return holds(first, subject) or holds(rest[0], subject)
    found = subject
    for name in first:
        found = len(found or ()) if name == "$count" else None if found is None else found[name]
    if kind == "any":
        return any(holds(rest[0], item) for item in found or ())
    if kind == "all":
        return all(holds(rest[0], item) for item in found or ())
    found, wanted = comparable(found), rest[0]
    if kind == "in":
        return found in [comparable(value) for value in wanted]
    if kind in ("eq", "ne"):
        return (found == comparable(wanted)) is (kind == "eq")
    if found is None:
        return False
    compare = FUNCTIONS.get(kind) or getattr(operator, kind)
    return bool(compare(found, comparable(wanted)))


def stored(value: Any) -> Any:
    """Return the object as a service holds it: what JSON has no form for is a text."""
    if isinstance(value, dict):
        return {name: stored(member) for name, member in value.items()}
    if isinstance(value, list):
        return [stored(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


@given(conditions, objects)
def test_service_understands_what_was_meant(condition: Condition, subject: dict[str, Any]) -> None:
    """Whatever is combined with whatever values, a service reads the same condition out of the URL, and no other."""
    built = build(condition)
    ((_, arrived),) = parse_qsl(encode_query({"$filter": built}), keep_blank_values=True)

    parsed = parse_filter(arrived, PROPERTIES, "sample")

    at_service = stored(subject)
    assert parsed.test(lambda name: lambda _: at_service[name])(0) is holds(condition, subject)


@given(conditions)
def test_advanced_is_what_the_service_asks_for(condition: Condition) -> None:
    """A filter is advanced just if the service finds ne, not, endswith or a count in it."""
    built = build(condition)
    uses = {use.operator for use in parse_filter(str(built), PROPERTIES, "sample").uses}

    assert built.advanced is bool(uses & {"ne", "not", "endsWith", "count"})


@given(texts, texts)
def test_no_text_ends_its_literal(text: str, other: str) -> None:
    """A text, whatever it holds, is one literal: what follows is read as it was written."""
    built = (Field("text") == text) & Field("tags").any(lambda tag: tag.in_(other, text))

    test = parse_filter(str(built), PROPERTIES, "sample").test(
        lambda name: lambda _: {"text": text, "tags": [other]}[name]
    )
    assert test(0)
