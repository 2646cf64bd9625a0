"""Filters from expressions: their text, their errors, and filters as values."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import reduce
from operator import or_
from uuid import UUID

import pytest

from entra_async import Field, Filter
from entra_async.errors import ConfigurationError
from entra_async.rules.http.urls import encode_query

SKU = UUID("184efa21-98c3-4e5d-95ab-d07053a96e67")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A, B, C = Field("a") == 1, Field("b") == 2, Field("c") == 3


class Kind(StrEnum):
    GUEST = "Guest"


class Level(IntEnum):
    HIGH = 3


class Wrapped(Enum):
    SKU = SKU


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (Field("displayName") == "O'Neill", "displayName eq 'O''Neill'"),
        (Field("displayName") == "'", "displayName eq ''''"),
        (Field("displayName") == "", "displayName eq ''"),
        (Field("displayName") == "a' or 'a' eq 'a", "displayName eq 'a'' or ''a'' eq ''a'"),
        (Field("displayName") == "R&D #1 + 2\n東京", "displayName eq 'R&D #1 + 2\n東京'"),
        (Field("skuId") == SKU, "skuId eq 184efa21-98c3-4e5d-95ab-d07053a96e67"),
        (Field("at") >= NOON, "at ge 2026-01-31T12:00:00Z"),
        (Field("at") < NOON.astimezone(timezone(timedelta(hours=2))), "at lt 2026-01-31T12:00:00Z"),
        (Field("at") > NOON.replace(microsecond=5), "at gt 2026-01-31T12:00:00.000005Z"),
        (Field("at") <= date(987, 1, 2), "at le 0987-01-02"),
        (Field("on").is_(True), "on eq true"),
        (Field("on").is_not(False), "on ne false"),
        (Field("on").is_(None), "on eq null"),
        (Field("on") != None, "on ne null"),  # noqa: E711 - this is how it is written
        (Field("n") == 1, "n eq 1"),
        (Field("n") == -(2**63), "n eq -9223372036854775808"),
        (Field("n") == 0.1, "n eq 0.1"),
        (Field("n") == 1e22, "n eq 1e+22"),
        (Field("n") == Decimal("1E+3"), "n eq 1000"),
        (Field("n") == Decimal("-0.10"), "n eq -0.10"),
        (Field("kind") == Kind.GUEST, "kind eq 'Guest'"),
        (Field("level") == Level.HIGH, "level eq 3"),
        (Field("sku") == Wrapped.SKU, "sku eq 184efa21-98c3-4e5d-95ab-d07053a96e67"),
        (Field("scenarios").has("secureFoundation"), "scenarios has 'secureFoundation'"),
        (Field("department").in_("Sales", "R'D", None), "department in ('Sales','R''D',null)"),
        (Field("mail").startswith(Kind.GUEST), "startswith(mail,'Guest')"),
        (Field("mail").endswith("'"), "endswith(mail,'''')"),
        (Field("from/emailAddress/address").contains("@"), "contains(from/emailAddress/address,'@')"),
        (Field("from") / "emailAddress" / "address" == "a", "from/emailAddress/address eq 'a'"),
        (Field("scope/microsoft.graph.query/text") == "a", "scope/microsoft.graph.query/text eq 'a'"),
        (Field("assignedLicenses/$count") == 0, "assignedLicenses/$count eq 0"),
        (Field("assignedLicenses") / "$count" != 0, "assignedLicenses/$count ne 0"),
        (Field("licenses").any(lambda item: item / "skuId" == SKU), f"licenses/any(x:x/skuId eq {SKU})"),
        (Field("mails").any(lambda item: item.startswith("smtp:")), "mails/any(x:startswith(x,'smtp:'))"),
        (Field("plans").all(lambda p: (p / "a" == 1) & (p / "b" == 2)), "plans/all(x:x/a eq 1 and x/b eq 2)"),
        # Outer and inner items have different names, whichever of them is compared.
        (
            Field("a").any(lambda outer: (outer / "b").any(lambda inner: (inner == 1) | (outer / "c" == 2))),
            "a/any(y:y/b/any(x:x eq 1 or y/c eq 2))",
        ),
        (Field("a").any(lambda a: a == 1) & Field("b").any(lambda b: b == 1), "a/any(x:x eq 1) and b/any(x:x eq 1)"),
        (A & B & C, "a eq 1 and b eq 2 and c eq 3"),
        (A & (B & C), "a eq 1 and b eq 2 and c eq 3"),
        (A & B | C, "a eq 1 and b eq 2 or c eq 3"),
        (A & (B | C), "a eq 1 and (b eq 2 or c eq 3)"),
        ((A | B) & (B | C), "(a eq 1 or b eq 2) and (b eq 2 or c eq 3)"),
        (~A & B, "not (a eq 1) and b eq 2"),
        (~(A | B) | ~~C, "not (a eq 1 or b eq 2) or not (not (c eq 3))"),
        (reduce(or_, [A, B, C]), "a eq 1 or b eq 2 or c eq 3"),
        (A & Filter("isof('microsoft.graph.user') or true"), "a eq 1 and (isof('microsoft.graph.user') or true)"),
        (A | Filter("year(at) eq 2026"), "a eq 1 or year(at) eq 2026"),
    ],
)
def test_expression_says_it_in_odata(built: Filter, text: str) -> None:
    """Each comparison, function and combination has its text: values quoted, parentheses where they decide."""
    assert str(built) == text


@pytest.mark.parametrize(
    ("built", "advanced"),
    [
        (A & (Field("b") >= 2) | Field("c").in_(1, 2) & Field("d").startswith("e"), False),
        (Field("mails").any(lambda item: item.startswith("smtp:")), False),
        (Field("a") != 1, True),
        (Field("a").is_not(None) & A, True),
        (A | ~B, True),
        (Field("mail").endswith("x"), True),
        (Field("licenses/$count") == 0, True),
        (Field("mails").any(lambda item: item.endswith("x")) & A, True),
        (Filter("year(at) eq 2026"), False),
        (A & Filter("endswith(mail,'x')", advanced=True), True),
    ],
)
def test_filter_knows_when_it_needs_an_advanced_query(built: Filter, advanced: bool) -> None:
    """ne, not, endswith and $count need one, wherever in the filter they stand; the rest does not by itself."""
    assert built.advanced is advanced


@pytest.mark.parametrize(
    ("build", "field", "problem"),
    [
        (lambda: Field("a") == datetime(2026, 1, 1), "value", "no time zone"),  # noqa: DTZ001
        (lambda: Field("a") == datetime.min.replace(tzinfo=timezone(timedelta(hours=2))), "value", "no year in UTC"),
        (lambda: Field("a").in_(float("nan")), "value", "not a number"),
        (lambda: Field("a").in_(1, float("-inf")), "value", "infinite"),
        (lambda: Field("a") == Decimal("sNaN"), "value", "not a number"),
        (lambda: Field("a") == Decimal("1E+999999"), "value", "too large"),
        (lambda: Field("a") == 2**63, "value", "too large"),
        (lambda: Field("a") == b"x", "value", "bytes"),
        (lambda: Field("a").in_(["x", "y"]), "value", "one by one"),  # type: ignore[arg-type]
        (lambda: Field("a") == Field("b"), "value", "Field"),  # type: ignore[operator]
        (lambda: Field("a").in_(), "values", "no values"),
        (lambda: Field("a") > None, "value", "nothing passes"),
        (lambda: Field("a").startswith(None), "text", "NoneType"),  # type: ignore[arg-type]
        (lambda: Field("a").endswith(Level.HIGH), "text", "Level"),  # type: ignore[arg-type]
        (lambda: Field("a").any(lambda item: item), None, "A Field is used"),  # type: ignore[arg-type,return-value]
        (lambda: Field("a").all(lambda item: True), None, "A bool is used"),  # type: ignore[arg-type,return-value]
        (lambda: Field(""), "path", "no property"),
        (lambda: Field("a b"), "path", "no property"),
        (lambda: Field("a eq 1 or b"), "path", "no property"),
        (lambda: Field("a/"), "path", "no property"),
        (lambda: Field("1a"), "path", "no property"),
        (lambda: Field("$count"), "path", "no property"),
        (lambda: Field("a/$count/b"), "path", "no property"),
        (lambda: Field("a\n"), "path", "no property"),
        (lambda: Field("a" * 129), "path", "no property"),
        (lambda: Field("a") / "b'", "path", "no property"),
        (lambda: Field(None), "path", "no property"),  # type: ignore[arg-type]
        (lambda: Filter(" "), "text", "empty"),
        (lambda: Filter(None), "text", "not a text"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_odata_form_is_refused(build: Callable[[], object], field: str | None, problem: str) -> None:
    """A value, path or condition that OData cannot say is refused where it is written, by name."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        build()

    assert caught.value.field == field


@pytest.mark.parametrize(
    "build",
    [
        lambda: A and B,
        lambda: A or B,
        lambda: not A,
        lambda: not Field("a"),
        lambda: Field("a") and B,
        lambda: 1 < Field("a") < 3,
        lambda: Field("a") in ["b", "c"],
        lambda: A & Field("b") == 2,
        lambda: Field("a") == 1 & Field("b") == 2,
        lambda: Field("a") == 1 | B,
        lambda: Field("a") & B,
        lambda: ~Field("a"),
        lambda: A & "b eq 2",  # type: ignore[operator]
        lambda: A | None,  # type: ignore[operator]
    ],
)
def test_misused_python_operators_are_errors(build: Callable[[], object]) -> None:
    """Where Python would take the wrong truth or the wrong operand, the error says how it is written."""
    with pytest.raises(ConfigurationError, match="parentheses"):
        build()


def test_too_deep_is_refused() -> None:
    """Quantifiers within each other end somewhere, with an error and not with a wrong variable."""

    def nest(depth: int) -> Filter:
        return Field("a").any(lambda item: nest(depth - 1) if depth else item == 1)

    assert str(nest(2)) == "a/any(z:a/any(y:a/any(x:x eq 1)))"
    with pytest.raises(ConfigurationError, match="deep"):
        nest(6)


def test_filter_is_a_value() -> None:
    """Filters of the same text are equal, serve as keys, cannot be changed, and survive a process boundary."""
    built = (A | B) & Field("mail").endswith("'x")
    copy = pickle.loads(pickle.dumps(built))

    assert {copy: "found"}[(A | B) & Field("mail").endswith("'x")] == "found"
    assert (str(copy & C), copy.advanced) == (str(built & C), True)
    assert str(pickle.loads(pickle.dumps(A | B)) & C) == "(a eq 1 or b eq 2) and c eq 3"
    assert str(pickle.loads(pickle.dumps(Field("a"))) == 1) == "a eq 1"
    with pytest.raises(AttributeError):
        built.text = "a eq 2"  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Field("a"))


def test_filter_goes_into_a_query_alone() -> None:
    """A filter is a value of a query, escaped like any text; a list of them means nothing and is refused."""
    query = encode_query({"$filter": Field("displayName") == "R&D #1+2\n'x", "$top": 5})

    assert query == "$filter=displayName%20eq%20'R%26D%20%231%2B2%0A''x'&$top=5"
    with pytest.raises(ConfigurationError) as caught:
        encode_query({"$filter": [A, B]})
    assert caught.value.field == "query"
