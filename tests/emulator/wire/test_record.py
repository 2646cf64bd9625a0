"""The record of what arrived: every secret is masked, however it is spelled, and waiting for it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yarl import URL

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator

CANARY = "canary-0123456789"


async def test_form_shows_only_what_is_harmless(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A field that is not known to be harmless is masked, whatever it is called."""
    names = (
        *("client_secret", "Client_Secret", "client-secret", "clientSecret", " client_secret", "client_assertion"),
        *("password", "passwd", "code", "code_verifier", "refresh_token", "access_token", "id_token", "assertion"),
        *("subject_token", "device_code", "api_key", "secret", "new_password", "x-ms-cookie"),
    )
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    shown = {"grant_type": "x", "x-client-SKU": "me"}
    async with http.post(url, data=shown | dict.fromkeys(names, CANARY)):
        pass
    (record,) = emulator.token_requests
    assert record.form == shown | dict.fromkeys(names, "***")
    assert CANARY not in repr(record)


async def test_form_shows_what_tests_need(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The fields that say what is requested, and by whom, are recorded as they were sent."""
    form = {
        "grant_type": "x",
        "client_id": "app",
        "scope": "a b",
        "resource": "r",
        "claims": "{}",
        "client_info": "1",
        "client_assertion_type": "t",
        "requested_token_use": "on_behalf_of",
        "redirect_uri": "http://localhost",
        "username": "ada@contoso.com",
        "response_type": "code",
        "response_mode": "query",
        "client-request-id": "1",
        "x-client-OS": "o",
    }
    async with http.post(f"{emulator.authority}/common/oauth2/token", data=form):
        pass
    assert emulator.token_requests[0].form == form


async def test_query_hides_secrets(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A secret in a query is masked however its name is spelled or encoded, decoded and as it was sent."""
    names = (
        *("access_token", "Access-Token", "accesstoken", "id_token", "subject_token", "client_secret", "clientSecret"),
        *("CLIENT-ASSERTION", "client_assertion", "code", "secret", "api-key", "apikey", "%20code", "c%6Fde", "code+"),
    )
    for name in names:
        url = URL(f"{emulator.graph_url}/v1.0/users?$top=5&{name}={CANARY}&b=%2F", encoded=True)
        async with http.get(url):
            pass
        record = emulator.requests[-1]
        assert CANARY not in repr(record)
        assert record.raw_query == f"$top=5&{name}=***&b=%2F"
        assert (record.query["$top"], record.query["b"]) == ("5", "/")


async def test_header_hides_secrets(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Headers that carry credentials are recorded without them."""
    names = (
        *("Authorization", "Proxy-Authorization", "Cookie", "X-MS-Authorization-Auxiliary", "X-IDENTITY-HEADER"),
        *("api-key", "X-Api-Key", "Secret", "Client-Secret", "client_assertion", "Access-Token"),
    )
    async with http.get(f"{emulator.graph_url}/v1.0/users", headers=dict.fromkeys(names, CANARY)):
        pass
    (record,) = emulator.requests
    assert {record.headers[name.lower()] for name in names} == {"***"}
    assert CANARY not in repr(record)


async def test_query_is_recorded_as_it_was_sent(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Order, repetition and encoding of a query can be checked."""
    query = "%24top=1&$select=id,mail&$top=2&flag&x="
    async with http.get(URL(f"{emulator.graph_url}/v1.0/users?{query}", encoded=True)):
        pass
    assert emulator.requests[0].raw_query == query


async def test_waiting_for_a_request_ends(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Waiting for what never comes is an error that shows what did come."""
    async with http.get(f"{emulator.graph_url}/v1.0/users"):
        pass
    with pytest.raises(TimeoutError, match="Only 1 of 2 such requests") as caught:
        await emulator.requests.wait_for(2, service="graph", timeout_s=0.01)
    assert "graph: GET /v1.0/users 401" in str(caught.value)
    assert len(await emulator.requests.wait_for(1, timeout_s=0)) == 1
