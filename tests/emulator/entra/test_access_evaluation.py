"""Tokens that are refused before they expire, as Graph does it, judged by clients that are not ours."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from azure.core import AsyncPipelineClient
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import HttpRequest
from azure.identity.aio import ClientSecretCredential

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from entra_async.testing.entra.tokens.access_evaluation import ChallengeForm

SCOPE = "https://graph.microsoft.com/.default"


async def request_token(emulator: Emulator, http: aiohttp.ClientSession, claims: dict[str, Any] | None) -> str:
    """Return an access token for Graph, requested by hand."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": SCOPE,
    }
    if claims is not None:
        form["claims"] = json.dumps({"access_token": claims})
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    async with http.post(url, data=form) as response:
        assert response.status == 200
        return str((await response.json())["access_token"])


async def call(emulator: Emulator, http: aiohttp.ClientSession, token: str) -> aiohttp.ClientResponse:
    """Return Graph's answer to a call with that token."""
    url = f"{emulator.graph_url}/v1.0/users?$top=1"
    async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
        await response.read()
        return response


CP1 = {"xms_cc": {"values": ["CP1"]}}


async def test_only_clients_with_cp1_are_challenged(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A revoked token of a client without ``cp1`` stays good; with it, the challenge demands a later start."""
    plain, capable = await request_token(emulator, http, None), await request_token(emulator, http, CP1)
    emulator.revoke_sessions(emulator.app)

    assert (await call(emulator, http, plain)).status == 200
    response = await call(emulator, http, capable)
    assert response.status == 401
    challenge = response.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in challenge
    required = json.loads(base64.b64decode(challenge.partition('claims="')[2].partition('"')[0]))
    assert set(required["access_token"]["nbf"]) == {"essential", "value"}


async def test_a_new_token_must_be_requested_with_the_claims(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A token that is merely new is dated back like every other, and refused; the demanded one is taken."""
    emulator.revoke_sessions(emulator.app)
    start = {"nbf": {"essential": True, "value": str(int(emulator.clock.now()))}}

    assert (await call(emulator, http, await request_token(emulator, http, CP1))).status == 401
    assert (await call(emulator, http, await request_token(emulator, http, {**CP1, **start}))).status == 200


async def test_an_authentication_context_is_required(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Graph challenges a token without it."""
    emulator.access_evaluation.require_authentication_context("c1")
    context = {"acrs": {"essential": True, "value": "c1"}}

    assert (await call(emulator, http, await request_token(emulator, http, CP1))).status == 401
    assert (await call(emulator, http, await request_token(emulator, http, {**CP1, **context}))).status == 200
    emulator.access_evaluation.require_authentication_context(None)
    assert (await call(emulator, http, await request_token(emulator, http, CP1))).status == 200


async def test_rejected_tokens_get_no_reason(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Every token issued so far is refused, without a demand; the next one is good."""
    token = await request_token(emulator, http, None)
    emulator.access_evaluation.reject_tokens()
    response = await call(emulator, http, token)

    assert response.status == 401
    assert "claims" not in response.headers["WWW-Authenticate"]
    assert (await call(emulator, http, await request_token(emulator, http, None))).status == 200


@pytest.mark.parametrize("form", ["plain", "for_urls"])
async def test_azure_core_meets_the_challenge(emulator: Emulator, form: ChallengeForm) -> None:
    """azure-core and azure-identity, unmodified, are challenged once and go on with a new token."""
    emulator.access_evaluation.challenge_form = form
    transport = AioHttpTransport(connection_verify=str(emulator.ca_file), use_env_settings=False)
    credential = ClientSecretCredential(
        emulator.tenant_id,
        emulator.app.client_id,
        emulator.app.secret,
        authority=emulator.authority,
        connection_verify=str(emulator.ca_file),
        use_env_settings=False,
    )
    policy = AsyncBearerTokenCredentialPolicy(credential, SCOPE, enable_cae=True)
    client: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(
        emulator.graph_url, transport=transport, policies=[policy]
    )
    async with credential, client:
        request = HttpRequest("GET", f"{emulator.graph_url}/v1.0/users?$top=1")
        assert (await client.send_request(request)).status_code == 200
        emulator.revoke_sessions(emulator.app)
        emulator.requests.clear()
        assert (await client.send_request(request)).status_code == 200

    assert [each.status for each in emulator.requests.matching(service="graph")] == [401, 200]
    assert len(emulator.token_requests) == 1
