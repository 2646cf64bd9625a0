"""The claims of a token request: a demand and a capability become one JSON text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.claims import add_capabilities


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
    """The demand stays, and the capability is added to it."""
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
