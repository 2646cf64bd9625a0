"""The documents in which the emulated Entra ID describes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator


async def get(http: aiohttp.ClientSession, url: str, **query: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON body of a GET."""
    async with http.get(url, params=query) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("version", ["/v2.0", ""])
async def test_configuration_of_the_tenant(emulator: Emulator, http: aiohttp.ClientSession, version: str) -> None:
    """GUID and domain give the same document, all of whose addresses are the emulator's, with the tenant's GUID."""
    path = f"{version}/.well-known/openid-configuration"
    status, by_id = await get(http, f"{emulator.authority}/{emulator.tenant_id}{path}")
    assert status == 200
    assert (status, by_id) == await get(http, f"{emulator.authority}/{emulator.domain.upper()}{path}")
    root = f"{emulator.authority}/{emulator.tenant_id}"
    assert by_id["token_endpoint"] == f"{root}/oauth2{version}/token"
    assert by_id["authorization_endpoint"].startswith(f"{root}/")
    issuers = {"/v2.0": f"{root}/v2.0", "": f"https://sts.windows.net/{emulator.tenant_id}/"}
    assert by_id["issuer"] == issuers[version]
    status, keys = await get(http, by_id["jwks_uri"])
    assert (status, keys["keys"][0]["kty"]) == (200, "RSA")


@pytest.mark.parametrize(
    ("alias", "issuer"),
    [
        ("common", "{tenantid}"),
        ("organizations", "{tenantid}"),
        ("consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"),
    ],
)
async def test_configuration_of_an_alias(
    emulator: Emulator, http: aiohttp.ClientSession, alias: str, issuer: str
) -> None:
    """An alias stays in the addresses; its issuer is a template with literal braces, or the tenant of consumers."""
    url = f"{emulator.authority}/{alias}/v2.0/.well-known/openid-configuration"
    _, document = await get(http, url)
    assert document["token_endpoint"] == f"{emulator.authority}/{alias}/oauth2/v2.0/token"
    assert document["issuer"] == f"{emulator.authority}/{issuer}/v2.0"


@pytest.mark.parametrize("path", ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys", "discovery/keys"])
async def test_unknown_tenant_has_no_metadata(emulator: Emulator, http: aiohttp.ClientSession, path: str) -> None:
    """A tenant that does not exist is refused with the error MSAL looks for."""
    status, body = await get(http, f"{emulator.authority}/fabrikam.com/{path}")
    assert (status, body["error"], body["error_codes"]) == (400, "invalid_tenant", [90002])


async def test_instance_discovery_knows_itself_and_microsoft(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The emulator's own host and Microsoft's are known, and each is sent to its own configuration."""
    url = f"{emulator.authority}/common/discovery/instance"
    for root in (emulator.authority, "https://login.microsoftonline.com"):
        endpoint = f"{root}/{emulator.tenant_id}/oauth2/v2.0/authorize"
        status, body = await get(http, url, **{"api-version": "1.1", "authorization_endpoint": endpoint})
        assert status == 200
        configuration = f"{root}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"
        assert body["tenant_discovery_endpoint"] == configuration
        assert any("login.microsoft.com" in cloud["aliases"] for cloud in body["metadata"])
        _, body = await get(http, url, **{"api-version": "1.0", "authorization_endpoint": endpoint})
        assert "metadata" not in body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            {"api-version": "1.1", "authorization_endpoint": "https://evil.example/x/authorize"},
            ("invalid_instance", 50049),
        ),
        ({"api-version": "1.1", "authorization_endpoint": "http://localhost/x"}, ("invalid_request", 50050)),
        ({"api-version": "1.1", "authorization_endpoint": "https://[x/common"}, ("invalid_request", 50050)),
        ({"api-version": "1.1"}, ("invalid_request", 900144)),
        ({"authorization_endpoint": "https://login.microsoftonline.com/x"}, ("invalid_request", 900144)),
    ],
)
async def test_instance_discovery_refuses(
    emulator: Emulator, http: aiohttp.ClientSession, query: dict[str, str], expected: tuple[str, int]
) -> None:
    """An unknown sign-in host, one without TLS, and an incomplete question are refused."""
    status, body = await get(http, f"{emulator.authority}/common/discovery/instance", **query)
    assert (status, body["error"], body["error_codes"][0]) == (400, *expected)
