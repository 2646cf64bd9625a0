"""What connect() says of a keyword that it does not have, or that belongs elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from entra_async import Certificate, ClientSecret, Session
from entra_async.clouds import find_cloud
from entra_async.credentials.connect.aliases import SESSION_OPTIONS, find_keyword
from entra_async.credentials.connect.keywords import ConnectOptions
from entra_async.errors import ConfigurationError

GUID = "11111111-1111-1111-1111-111111111111"
APP: dict[str, Any] = {"client_id": GUID, "tenant_id": "contoso.com"}
SECRET = ClientSecret(**APP, client_secret="s")
SECRET_FORM = "connect(client_id=…, tenant_id=…, client_secret=…)"


async def explain(*provider: object, **keywords: Any) -> tuple[str | None, str]:
    """Return the field and the text of connect()'s error."""
    async with Session() as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(*provider, **keywords)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("authentication_url", "authority"),
        ("authority_host", "authority"),
        ("tenant", "tenant_id"),
        ("tenantId", "tenant_id"),
        ("TenantID", "tenant_id"),
        ("directory_id", "tenant_id"),
        ("app_id", "client_id"),
        ("application_id", "client_id"),
        ("clientid", "client_id"),
        ("thumbprint", "certificate_thumbprint"),
        ("cert", "certificate_path"),
        ("certifcate_path", "certificate_path"),
        ("secret", "client_secret"),
        ("client_credential", "client_secret"),
        ("client-secret", "client_secret"),
        ("scope", "scopes"),
        ("use_device_code", "device_code"),
        ("managed_identity_client_id", "identity_id"),
        ("client_assertion", "assertion"),
        ("base_url", "service_url"),
        ("vault_url", "vault_name"),
        ("access_token", "token"),
        ("xyzzy", None),
    ],
)
def test_names_of_other_libraries_are_known(given: str, meant: str | None) -> None:
    """A name of azure-identity, MSAL or PowerShell, or a mistyped one, leads to ours."""
    assert find_keyword(given, ConnectOptions.__annotations__) == meant


@pytest.mark.parametrize(
    ("provider", "keywords", "field", "said"),
    [
        ((SECRET,), {"authentication_url": "u"}, "authentication_url", "Did you mean 'authority'?"),
        ((SECRET,), {"service_ur": "u"}, "service_ur", "Did you mean 'service_url'?"),
        ((SECRET,), {"xyzzy": 1}, "xyzzy", "Beside a provider it takes authority, cloud,"),
        ((SECRET,), {"tenant": "t"}, "tenant", "Give it to the provider, ClientSecret(tenant_id=…)"),
        ((SECRET,), {"scopes": ["a"]}, "scopes", "an application gets the permissions that were granted to it"),
        ((SECRET,), {"browser": True}, "browser", "Give a provider, or keywords, not both."),
        ((SECRET,), {"proxy": "http://p:1"}, "proxy", "It is the Session's: Session(proxy=…)."),
        ((Certificate(**APP, path="a.pfx"),), {"password": "p"}, "password", "Certificate(password=…)"),
        ((), {**APP, "client_secret": "s", "authentication_url": "u"}, "authentication_url", f"is {SECRET_FORM}"),
        ((), {"app_id": GUID, "tenant": "t", "secret": "s"}, "app_id", "'client_secret' for 'secret'? AppSecret is"),
        ((), {**APP, "thumbprint": "A"}, "thumbprint", "tenant_id=…, certificate_thumbprint=…)"),
        ((), {**APP, "client_secret": "s", "scopes": ["a"]}, "scopes", "an application gets the permissions"),
        ((), {"identity": True, "client_id": GUID}, "client_id", "Give it as 'identity_id'."),
        ((), {"client_id": GUID, "client_secret": "s"}, "tenant_id", f"Write {SECRET_FORM}"),
        ((), {**APP, "device_code": True, "browser_mode": "Auto"}, "browser_mode", "or use Browser: connect("),
        ((), {"xyzzy": 1}, "xyzzy", f"keywords such as {SECRET_FORM}"),
        ((), {}, "provider", f"keywords such as {SECRET_FORM}"),
    ],
)
async def test_the_error_is_short_and_helps(
    provider: tuple[object, ...], keywords: dict[str, Any], field: str, said: str
) -> None:
    """It names the keyword, what was meant, and the one form that fits best; nothing else."""
    named, text = await explain(*provider, **keywords)

    assert named == field
    assert said in text
    assert len(text) < 400


async def test_no_error_of_a_keyword_is_long() -> None:
    """Whatever keyword is given alone or beside a provider, the error stays short."""
    for word in [*ConnectOptions.__annotations__, *SESSION_OPTIONS, "xyzzy"]:
        if word in {"service_url", "resource", "parameters", "name", "make_default", "cloud", "authority"}:
            continue
        for given in ((SECRET,), ()):
            values: dict[str, Any] = {word: True, "xyzzy2": 1, "app_id": 1, "tenant": 1, "secret": 1}
            _, text = await explain(*given, **values)
            assert len(text) < 400, text


async def test_names_of_services_and_clouds() -> None:
    """A mistyped service or connection is suggested; a cloud may be named as Azure CLI does."""
    _, text = await explain(SECRET, service="Grph")
    async with Session() as session:
        with pytest.raises(ConfigurationError, match="Did you mean 'Graph'"):
            await session.invoke("users", service="Graf")

    assert "Did you mean 'Graph'?" in text
    assert find_cloud("AzureUSGovernment") is find_cloud("us-gov") is find_cloud("usgov")
    assert find_cloud("AzureCloud") is find_cloud("global")
