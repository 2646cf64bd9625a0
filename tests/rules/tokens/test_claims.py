"""The claims of a token request: a claims challenge and capabilities become one JSON text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.tokens.claims import add_capabilities, covers, lasting, merge_claims


@pytest.mark.parametrize(
    ("claims", "enable_cae", "merged"),
    [
        (None, False, None),
        (None, True, {"access_token": {"xms_cc": {"values": ["CP1"]}}}),
        ('{"access_token": {"nbf": 1}}', False, {"access_token": {"nbf": 1}}),
        ('{"access_token": {"nbf": 1}}', True, {"access_token": {"nbf": 1, "xms_cc": {"values": ["CP1"]}}}),
        ('{"id_token": {}}', True, {"id_token": {}, "access_token": {"xms_cc": {"values": ["CP1"]}}}),
        ('{"access_token": null}', True, {"access_token": {"xms_cc": {"values": ["CP1"]}}}),
    ],
)
def test_merging(claims: str | None, *, enable_cae: bool, merged: object) -> None:
    """The requested claims stay, and the capability is added to them."""
    result = add_capabilities(claims, enable_cae=enable_cae)

    assert (result and json.loads(result)) == merged


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)).map(json.dumps)
)
def test_any_text(claims: str) -> None:
    """What is no JSON object is a ConfigurationError and nothing else."""
    with pytest.raises(ConfigurationError) as caught:
        add_capabilities(claims, enable_cae=False)

    assert caught.value.field == "claims"


NAMES = st.sampled_from(["acrs", "nbf", "deviceid", "xms_cc"])
SECTIONS = st.sampled_from(["access_token", "id_token"])
MEMBERS = st.dictionaries(NAMES, st.sampled_from([None, {"value": "1"}, {"essential": True, "value": "2"}]))
REQUESTS = st.dictionaries(SECTIONS, st.none() | MEMBERS).map(json.dumps)
ANYTHING = st.none() | REQUESTS | st.text()


def test_a_later_demand_adds_to_an_earlier_one() -> None:
    """The claims of two challenges are requested together; the newer value of one claim counts."""
    one = '{"access_token": {"acrs": {"value": "c1"}, "nbf": {"value": "1"}}}'
    two = '{"access_token": {"nbf": {"value": "2"}}, "id_token": {"email": null}}'
    assert json.loads(merge_claims(one, two) or "") == {
        "access_token": {"acrs": {"value": "c1"}, "nbf": {"value": "2"}},
        "id_token": {"email": None},
    }


@given(REQUESTS, REQUESTS)
def test_what_was_merged_covers_the_last_demand(one: str, two: str) -> None:
    """The newest claims request is covered as a whole, and the older one as far as they agree."""
    merged = merge_claims(one, two)
    assert covers(merged, two)
    assert covers(merge_claims(merged, one, two), two)


@given(ANYTHING)
def test_one_demand_stays_as_it_is(claims: str | None) -> None:
    """A single claims request stays as it is."""
    assert merge_claims(claims) == merge_claims(None, claims, None) == claims
    assert covers(claims, claims)
    assert covers(claims, None)


@given(ANYTHING, ANYTHING)
def test_no_text_breaks_it(one: str | None, two: str | None) -> None:
    """Claims come from services: whatever they hold, there is a result, and the newest claims are in it."""
    merged = merge_claims(one, two)
    assert merged == two or covers(merged, two)
    assert covers(None, two) or two is not None


@given(REQUESTS)
def test_a_date_does_not_last(claims: str) -> None:
    """Every later token is issued after it; the other claims stay."""
    kept = lasting(claims)
    assert covers(claims, kept)
    assert kept is None or "nbf" not in kept
    assert covers(merge_claims(kept, '{"access_token": {"nbf": {"value": "1"}}}'), kept)


@pytest.mark.parametrize("claims", ["", "[]", "null", "1", '{"access_token": 1}', "[" * 100_000])
def test_what_is_no_request_lasts_not(claims: str) -> None:
    """A text that cannot be read is requested once, as it is, and not at renewals."""
    assert lasting(claims) is None
    assert not covers("{}", claims)
    assert merge_claims("{}", claims) == claims
