"""The query language: what filters mean, and what they are refused with."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.odata.filter import FilterError, Property
from entra_async.testing.odata.filter_parser import parse_filter
from entra_async.testing.odata.query import QueryError, build_query, parse_number, parse_query, parse_select

PLACE = {
    "city": Property(),
    "floors": Property(
        "Collection(Complex)", members={"level": Property("Int32"), "rooms": Property("Collection(String)")}
    ),
}
PROPERTIES = {
    "id": Property(),
    "displayName": Property(),
    "jobTitle": Property(),
    "accountEnabled": Property("Boolean"),
    "floor": Property("Int32"),
    "createdDateTime": Property("DateTimeOffset"),
    "groupTypes": Property("Collection(String)"),
    "height": Property("Double"),
    "team": Property("Guid"),
    "home": Property("Complex", members=PLACE),
    "work": Property("Complex", members=PLACE),
}
OBJECT: dict[str, Any] = {
    "id": "a1",
    "displayName": "Siobhán O'Neill",
    "jobTitle": None,
    "accountEnabled": True,
    "floor": 3,
    "createdDateTime": "2020-06-01T12:00:00Z",
    "groupTypes": ["Unified", "DynamicMembership"],
    "height": 1.75,
    "team": "5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11",
    "home": {"city": "London", "floors": [{"level": 1, "rooms": ["a"]}, {"level": 2, "rooms": ["a", "b"]}]},
    "work": None,
}


def passes(text: str) -> bool:
    """Return whether the object passes the filter."""
    return parse_filter(text, PROPERTIES, "sample").test(lambda name: lambda _: OBJECT[name])(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("displayName eq 'Siobhán O''Neill'", True),
        ("displayName eq 'SIOBHÁN o''neill'", True),
        ("displayName eq 'O''Neill'", False),
        ("displayName ne 'x'", True),
        ("startsWith(displayName,'siob')", True),
        ("startswith( displayName , 'Neill' )", False),
        ("endsWith(displayName,'neill')", True),
        ("contains(displayName,'O''')", True),
        ("jobTitle eq null", True),
        ("jobTitle ne null", False),
        ("jobTitle ne 'Boss'", True),
        ("startsWith(jobTitle,'B')", False),
        ("jobTitle ge 'A'", False),
        ("accountEnabled eq true", True),
        ("accountEnabled ne true", False),
        ("floor gt 2 and floor lt 4", True),
        ("floor ge 4 or floor le 2", False),
        ("createdDateTime ge 2020-06-01T12:00:00Z", True),
        ("createdDateTime lt 2020-06-01T14:00:00+02:00", False),
        ("createdDateTime gt 2020-05-31", True),
        ("createdDateTime le 2020-05-31Z", False),
        ("id in ('b2','A1')", True),
        ("id in ('b2')", False),
        ("groupTypes/any(c:c eq 'unified')", True),
        ("groupTypes/any(t:startsWith(t,'Dyn'))", True),
        ("not groupTypes/any(c:c eq 'Unified')", False),
        ("not (floor eq 3) or floor eq 3", True),
        ("NOT startsWith(displayName,'Z') AND accountEnabled eq true", True),
        # "and" binds tighter than "or", "not" tighter than both.
        ("floor eq 3 or floor eq 4 and floor eq 5", True),
        ("(floor eq 3 or floor eq 4) and floor eq 5", False),
        ("not (floor eq 4) and floor eq 3", True),
        ("not not (floor eq 3)", True),
        ("height gt 1.5 and height lt 2", True),
        ("height lt 99999999999 and height gt -3", True),
        ("height eq 1.75e0 and height ne 175E-1", True),
        ("team eq 5F0C2F0E-9a4b-4c0a-8a51-0d6b0c7f3a11", True),
        ("home/city eq 'london' and home/floors/$count eq 2", True),
        ("work/city eq null and work/floors/$count eq 0", True),
        ("groupTypes/$count ge 2 and not (groupTypes/$count eq 0)", True),
        ("groupTypes/all(t:startsWith(t,'Dyn') or t eq 'unified')", True),
        ("groupTypes/all(t:t eq 'unified')", False),
        ("home/floors/any(f:f/level eq 2 and f/rooms/any(r:r eq 'b'))", True),
        ("home/floors/any(f:f/level eq 1 and f/rooms/any(r:r eq 'b'))", False),
        ("home/floors/all(f:not f/rooms/any(r:r eq 'c')) or floor eq 4", True),
        ("work/floors/any(f:f/level eq 1)", False),
        ("work/floors/all(f:f/level eq 1)", True),
    ],
)
def test_filter_means_what_it_says(text: str, *, expected: bool) -> None:
    """Operators, functions, precedence, null and doubled quotes work as OData defines them; text ignores case."""
    assert passes(text) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Syntax error at position 0 in ''."),
        ("displayName", "Syntax error at position 11 in 'displayName'."),
        ("displayName eq", "Syntax error at position 14 in 'displayName eq'."),
        ("displayName = 'a'", "Syntax error at position 12 in 'displayName = 'a''."),
        ("displayName eq 'a' extra", "Syntax error at position 19 in 'displayName eq 'a' extra'."),
        ("displayName eq 'O'Neill'", "There is an unterminated string literal at position 23"),
        ('displayName eq "a"', "Syntax error at position 15"),
        ("(floor eq 3", "Syntax error at position 11"),
        ("floor eq 3)", "Syntax error at position 10"),
        ("'a' eq displayName", "Syntax error at position 0"),
        ("shoeSize eq 3", "Could not find a property named 'shoeSize' on type 'sample'."),
        ("displayname eq 'a'", "Could not find a property named 'displayname' on type 'sample'."),
        ("displayName eq true", "Found operand types 'Edm.String' and 'Edm.Boolean' for operator kind 'Equal'."),
        ("accountEnabled ne 'true'", "'Edm.Boolean' and 'Edm.String' for operator kind 'NotEqual'."),
        ("createdDateTime ge '2020-01-01'", "'Edm.DateTimeOffset' and 'Edm.String'"),
        ("id eq 5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11", "'Edm.String' and 'Edm.Guid'"),
        ("id in ('a',3)", "'Edm.String' and 'Edm.Int32'"),
        ("floor ge null", "'Edm.Int32' and '<null>'"),
        ("floor eq 3.5", "'Edm.Int32' and 'Edm.Double'"),
        ("createdDateTime ge 2020-13-01", "Unrecognized 'Edm.DateTimeOffset' literal '2020-13-01'."),
        ("startsWith(floor,'3')", "No function signature for the function with name 'startswith' matches"),
        ("startsWith(displayName,3)", "No function signature for the function with name 'startswith' matches"),
        ("displayName/any(c:c eq 'a')", "Any/All may only be used following a collection"),
        ("groupTypes eq 'Unified'", "'Edm.Collection(String)' and 'Edm.String'"),
        ("groupTypes/any(c:d eq 'Unified')", "Could not find a property named 'd'"),
        ("groupTypes/any(c:c/d eq 'Unified')", "Could not find a property named 'd'"),
        ("groupTypes/all(c:displayName eq 'a')", "Could not find a property named 'displayName'"),
        ("groupTypes/some(c:c eq 'a')", "Could not find a property named 'some'"),
        ("groupTypes/any(c:c eq 'a'", "Syntax error at position 25"),
        ("groupTypes/any()", "Syntax error at position 15"),
        ("home/floors/any(f:f/rooms/any(f:f eq 'a'))", "The range variable 'f' has already been declared."),
        ("home/floors/any(f:f eq 'a')", "'Edm.Complex' and 'Edm.String'"),
        ("home/street eq 'a'", "Could not find a property named 'street'"),
        ("displayName/$count eq 1", "Any/All may only be used following a collection"),
        ("groupTypes/$count eq '1'", "'Edm.Int32' and 'Edm.String'"),
        ("groupTypes/$counts eq 1", "Syntax error at position 11"),
        ("not floor eq 4", "Found operand type 'Edm.Int32' for operator kind 'Not'."),
        (
            "not team in (5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11)",
            "Found operand type 'Edm.Guid' for operator kind 'Not'.",
        ),
        ("team eq '5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11'", "'Edm.Guid' and 'Edm.String'"),
        ("groupTypes/any(c:startsWith(d,'U'))", "Could not find a property named 'd'"),
        ("floor has 3", "Syntax error at position 6"),
        ("(" * 500 + "floor eq 3" + ")" * 500, "The recursion limit has been exceeded."),
        ("not " * 500 + "floor eq 3", "The recursion limit has been exceeded."),
    ],
)
def test_filter_is_refused(text: str, problem: str) -> None:
    """What is no filter, or names what there is not, or compares unlike types, is refused with OData's words."""
    with pytest.raises(FilterError) as refused:
        passes(text)
    assert problem in str(refused.value)


@given(st.text(alphabet="abdeEfilnoqrstuNy'()/:,.- 0123456789TZ", max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    """Whatever is sent, the parser either understands it or refuses it as a filter."""
    for attempt in (text, f"displayName eq {text}", f"not ({text}) or floor eq 3"):
        with suppress(FilterError):
            assert passes(attempt) in (True, False)


@given(st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    """A literal with its quotes doubled is compared as it was."""
    quoted = text.replace("'", "''")
    test = parse_filter(f"displayName eq '{quoted}'", PROPERTIES, "sample").test(lambda _: lambda _: text)
    assert test(0)


@given(st.dictionaries(st.sampled_from(["$top", "$filter", "$select"]), st.text()))
def test_query_survives_encoding(options: dict[str, str]) -> None:
    """Options that were encoded into a link are read back as they were."""
    assert parse_query(build_query(options), {"$top", "$filter", "$select"}) == options


def test_query_is_decoded_as_the_service_does() -> None:
    """Percent signs and plus are decoded in names and values, and $skipToken is $skiptoken."""
    known = {"$filter", "$skiptoken"}
    assert parse_query("%24filter=a+eq%20%27b%2Bc%27&$skipToken=x", known) == {
        "$filter": "a eq 'b+c'",
        "$skiptoken": "x",
    }


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("$top=1&$top=1", "Query option '$top' was specified more than once, but it must be specified at most once."),
        ("$top=1&%24top=2", "Query option '$top' was specified more than once"),
        ("$foo=1", "The query parameter '$foo' is not supported."),
        ("top=1", "The query parameter 'top' is not supported."),
        ("$filter=displayName eq 'R&D'", "The query parameter 'D'' is not supported."),
    ],
)
def test_query_is_refused(raw: str, problem: str) -> None:
    """Unknown and repeated options are refused, and so is what an unencoded ampersand makes of a value."""
    with pytest.raises(QueryError) as refused:
        parse_query(raw, {"$top", "$filter"})
    assert problem in str(refused.value)


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", " 1", "٣", "9" * 30])
def test_number_is_refused(value: str) -> None:
    """Only whole numbers in ASCII digits are numbers."""
    with pytest.raises(QueryError, match="requires a non-negative integer value"):
        parse_number("$top", value)


def test_select_reads_a_list() -> None:
    """Blanks around names do not matter, a name given twice counts once, and an empty name is refused."""
    assert parse_select("id, displayName ,id", PROPERTIES, "sample") == ("id", "displayName")
    with pytest.raises(QueryError, match="Syntax error"):
        parse_select("id,", PROPERTIES, "sample")
