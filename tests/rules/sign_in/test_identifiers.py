"""Ids, tenants and authorities are checked before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import (
    check_app_tenant_id,
    check_authority,
    check_client_id,
    check_secret,
    check_tenant_id,
)


@given(st.uuids())
def test_guids_are_good(value: Any) -> None:
    """Any GUID is a client id and a tenant id."""
    assert check_client_id(str(value)) == str(value)
    assert check_app_tenant_id(str(value)) == str(value)


@pytest.mark.parametrize(
    "tenant", ["contoso.com", "contoso.onmicrosoft.com", "a-b.example.co.uk", "common", "organizations"]
)
def test_domains_are_good(tenant: str) -> None:
    """A domain or an alias names a tenant."""
    assert check_tenant_id(tenant) == tenant


@pytest.mark.parametrize(
    "tenant",
    ["", "contoso", "not a tenant", "https://contoso.com", "contoso.com/x", "-a.com", "1234", None, 5, "a..com"],
)
def test_other_tenants_are_refused(tenant: Any) -> None:
    """What is no GUID and no domain is refused by name."""
    with pytest.raises(ConfigurationError) as caught:
        check_tenant_id(tenant)

    assert caught.value.field == "tenant_id"
    assert caught.value.hint


@pytest.mark.parametrize("alias", ["common", "organizations", "consumers"])
def test_an_application_needs_one_tenant(alias: str) -> None:
    """An alias names no tenant an application could sign in to."""
    with pytest.raises(ConfigurationError, match="needs one tenant"):
        check_app_tenant_id(alias)


@pytest.mark.parametrize(
    "authority",
    [
        "http://login.microsoftonline.com",
        "login.microsoftonline.com",
        "https://x/tenant",
        "https://u@x",
        "https://x?a",
        "",
        None,
        "https://[",
        "https://x:0",
    ],
)
def test_authorities_are_tls_without_a_tenant(authority: Any) -> None:
    """An authority is scheme and host; the tenant goes elsewhere."""
    with pytest.raises(ConfigurationError) as caught:
        check_authority(authority)

    assert caught.value.field == "authority"


def test_good_authority_loses_its_slash() -> None:
    """A trailing slash does no harm."""
    assert check_authority("https://login.microsoftonline.us/") == "https://login.microsoftonline.us"


@given(st.text())
def test_secrets_never_show(secret: str) -> None:
    """A secret is any text that is not blank; the error does not repeat it."""
    if secret.strip():
        assert check_secret(secret, field="client_secret") == secret
    else:
        with pytest.raises(ConfigurationError, match="client_secret is empty"):
            check_secret(secret, field="client_secret")
