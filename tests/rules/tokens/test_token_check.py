"""A readable token is compared with its request; what cannot be compared passes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import TokenMismatchError
from entra_async.rules.tokens.token_check import ExpectedToken, audience_of, check_token

GUIDS = st.uuids().map(str)
GRAPH = "00000003-0000-0000-c000-000000000000"


@given(GUIDS, GUIDS, st.booleans())
def test_another_tenant_is_refused(expected: str, actual: str, upper: bool) -> None:
    """Tenants are compared by GUID, in any case."""
    claims = {"tid": actual.upper() if upper else actual}
    check_token({"tid": expected.upper()}, ExpectedToken(tenant_id=expected))
    if expected != actual:
        with pytest.raises(TokenMismatchError, match=actual):
            check_token(claims, ExpectedToken(tenant_id=expected))


@pytest.mark.parametrize("tenant", ["contoso.com", "common", "organizations", "consumers", None])
def test_a_tenants_name_tells_nothing(tenant: str | None) -> None:
    """A domain's name and a GUID cannot be compared."""
    check_token({"tid": str(uuid.uuid4())}, ExpectedToken(tenant_id=tenant))


@given(GUIDS, GUIDS, st.sampled_from(["appid", "azp"]))
def test_another_application_is_refused(expected: str, actual: str, claim: str) -> None:
    """The application is found in tokens of both versions."""
    check_token({claim: expected}, ExpectedToken(client_id=expected))
    if expected != actual:
        with pytest.raises(TokenMismatchError, match="application"):
            check_token({claim: actual}, ExpectedToken(client_id=expected))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("https://graph.microsoft.com/.default", "https://graph.microsoft.com"),
        ("https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/"),
        ("https://graph.microsoft.com/.default", GRAPH),
        (f"{GRAPH}/.default", "https://graph.microsoft.com"),
        ("https://management.azure.com/.default", "https://management.core.windows.net/"),
        ("https://management.core.windows.net//.default", "https://management.azure.com"),
        ("https://vault.azure.net/.default", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
        ("api://11111111-1111-1111-1111-111111111111/.default", "11111111-1111-1111-1111-111111111111"),
        ("api://contoso-orders/.default", "11111111-1111-1111-1111-111111111111"),
        ("https://contoso.com/orders/.default", "https://contoso.com/orders"),
        ("https://contoso.com/orders/.default", "11111111-1111-1111-1111-111111111111"),
        ("api://contoso-orders/.default", "api://contoso-orders"),
        ("User.Read", "https://graph.microsoft.com"),
        ("User.Read", GRAPH),
        ("https://graph.own-cloud.example/.default", GRAPH),
        ("openid", "https://graph.microsoft.com"),
    ],
)
def test_one_service_has_many_names(expected: str, actual: str) -> None:
    """An audience may be a URL, with a slash or not, an alias, or the application's id."""
    check_token({"aud": actual}, ExpectedToken(audience=audience_of([expected])))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("https://graph.microsoft.com/.default", "https://management.azure.com"),
        ("https://graph.microsoft.com/.default", "797f4846-ba00-4fd7-ba43-dac1f8f63013"),
        ("https://vault.azure.net/.default", "https://graph.microsoft.com/"),
        ("https://api.securitycenter.microsoft.com/.default", "https://api.security.microsoft.com"),
        ("https://contoso.com/orders/.default", "https://contoso.com/invoices"),
        ("api://11111111-1111-1111-1111-111111111111/.default", "api://22222222-2222-2222-2222-222222222222"),
        ("https://graph.microsoft.com/.default", "https://contoso.crm.dynamics.com"),
        ("https://graph.microsoft.com/.default", "https://storage.azure.com/"),
        ("https://graph.microsoft.com/.default", "e406a681-f3d4-42a8-90b6-c2b029497af1"),
        ("https://graph.microsoft.com/.default", "api://my-app"),
        ("https://graph.microsoft.com/.default", "no name at all"),
        ("https://graph.microsoft.com/.default", ["https://graph.microsoft.com", "https://evil.example"]),
        ("User.Read", "https://evil.example"),
        ("api://my-app/.default", "api://another-app"),
        ("api://my-app/.default", "https://graph.microsoft.com"),
        ("https://contoso.com/orders/.default", "https://graph.microsoft.com"),
    ],
)
def test_another_service_is_refused(expected: str, actual: Any) -> None:
    """A token for one service is never accepted for another."""
    with pytest.raises(TokenMismatchError, match="service"):
        check_token({"aud": actual}, ExpectedToken(audience=audience_of([expected])))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(st.sampled_from(["tid", "appid", "azp", "aud"]), JSON),
    st.builds(ExpectedToken, st.none() | st.text(), st.none() | st.text(), st.none() | st.text()),
)
def test_strange_claims_do_no_harm(claims: dict[str, Any], expected: ExpectedToken) -> None:
    """Whatever the claims, the token is either accepted or a TokenMismatchError."""
    try:
        check_token(claims, expected)
    except TokenMismatchError:
        assert set(claims) & {"tid", "appid", "azp", "aud"}


@given(st.lists(st.text()))
def test_strange_scopes_do_no_harm(scopes: list[str]) -> None:
    """Whatever the scopes, they have one resource or none."""
    audience = audience_of(scopes)
    assert audience in (None, "https://graph.microsoft.com") or any(scope.startswith(str(audience)) for scope in scopes)
