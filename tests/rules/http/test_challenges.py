"""The challenges of a 401 response are read in whatever form they come."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.http.challenges import read_challenges, read_claims

TOKENS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,10}", fullmatch=True)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)
CLAIMS = st.fixed_dictionaries({"access_token": st.dictionaries(TOKENS, st.none() | VALUES | st.integers())})


def quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, min_size=1)), max_size=4), st.data())
def test_challenges_are_read_as_they_were_written(
    written: list[tuple[str, dict[str, str]]], data: st.DataObject
) -> None:
    """Several challenges, in one line or in many, parameters in any order, quotes and commas in them."""
    parts = [
        f"{scheme} " + ", ".join(f"{name}={quote(value)}" for name, value in each.items()) for scheme, each in written
    ]
    lines = [", ".join(parts)] if data.draw(st.booleans()) else parts

    assert [(each.scheme, dict(each.parameters)) for each in read_challenges(lines)] == [
        (scheme.lower(), each) for scheme, each in written
    ]


@given(
    CLAIMS,
    st.booleans(),
    st.booleans(),
    st.permutations(["realm", "error", "authorization_uri", "claims"]),
    st.booleans(),
)
def test_claims_are_found_in_every_form(
    claims: dict[str, object], for_urls: bool, padded: bool, order: list[str], beside_others: bool
) -> None:
    """Standard Base64 or for URLs, padded or not, in any order, beside challenges of other schemes."""
    text = json.dumps(claims)
    encoded = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(text.encode()).decode()
    values = {
        "realm": "",
        "error": "insufficient_claims",
        "authorization_uri": "https://login.microsoftonline.com/common/oauth2/authorize",
        "claims": encoded if padded else encoded.rstrip("="),
    }
    line = "Bearer " + ", ".join(f'{name}="{values[name]}"' for name in order)
    if beside_others:
        line = f'PoP nonce="a, b", Negotiate YWJj==, {line}, Bearer error="invalid_token"'

    assert read_claims([line]) == text


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Bearer",
        'Bearer realm="", error="invalid_token"',
        'Bearer claims="not base64!"',
        'Bearer claims="' + base64.b64encode(b"[]").decode() + '"',
        'Bearer claims="' + base64.b64encode(b"{}").decode() + '"',
        'Bearer claims="' + base64.b64encode(b'{"access_token": 5}').decode() + '"',
        'Bearer claims="' + base64.b64encode(b"\xff\xfe").decode() + '"',
        'PoP claims="' + base64.b64encode(b'{"access_token": {}}').decode() + '"',
        'Bearer claims="' + base64.b64encode(b'{"access_token": {}}').decode() + '"' + " " * 20_000,
        'Bearer claims="' + base64.b64encode(b'{"access_token":' + b"[" * 8000).decode() + '"',
    ],
)
def test_without_claims_there_is_no_claims_challenge(line: str) -> None:
    """Claims that are missing, broken, too long or of another scheme are no claims challenge."""
    assert read_claims([line]) is None


def test_an_invalid_token_may_come_with_a_claims_challenge() -> None:
    """Some services say that the token is invalid, and send a claims challenge all the same."""
    claims = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
    line = f'Bearer error="invalid_token", error_description="User session has been revoked", claims="{claims}"'
    assert read_claims(["Negotiate", line]) == '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


@given(st.lists(st.text(st.sampled_from('aB="\\, ;{}\t-é'), max_size=200) | st.text(), max_size=5))
def test_garbage_does_no_harm(values: list[str]) -> None:
    """Whatever a server writes, it is read without an error."""
    read_challenges(values)
    read_claims(values)
