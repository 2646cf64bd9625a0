"""The emulated on-behalf-of grant: a web API passes its caller's identity on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread
import jwt
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.emulator.support.relying_party import RelyingParty

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from entra_async.testing.entra.app_registrations import App
    from tests.emulator.support.relying_party import ErrorSummary

FORMS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no assertion": ({"assertion": None}, (400, "invalid_request", 900144)),
    "not a JWT": ({"assertion": "a.b.c"}, (400, "invalid_request", 50027)),
    "no use": ({"requested_token_use": None}, (400, "invalid_request", 900144)),
    "another use": ({"requested_token_use": "impersonation"}, (400, "invalid_request", 9002313)),
    "no secret": ({"client_secret": None}, (401, "invalid_client", 7000218)),
    "wrong secret": ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
    "no scope": ({"scope": None}, (400, "invalid_request", 900144)),
    "unknown scope": ({"scope": "User.Raed"}, (400, "invalid_scope", 650053)),
    "two resources": (
        {"scope": "User.Read https://vault.azure.net/user_impersonation"},
        (400, "invalid_request", 28000),
    ),
    "scope nobody consented to": ({"scope": "Files.Read"}, (400, "invalid_grant", 65001)),
    "parameter of another grant": ({"refresh_token": "1.a"}, (400, "invalid_request", 9002313)),
}


@pytest.fixture
def api(emulator: Emulator) -> App:
    """Return a web API that users' apps call, with consent to call Graph as them."""
    return emulator.register_app(
        exposes=["access_as_user"], delegated=["User.Read"], admin_consent=True, redirect_uris=["http://localhost"]
    )


@pytest.fixture
async def caller_token(emulator: Emulator, http: aiohttp.ClientSession, api: App) -> str:
    """Return a token that a user's app got for the API."""
    client = emulator.register_app(public_client=True, redirect_uris=["http://localhost"])
    party = RelyingParty(emulator, http, client, tenant=emulator.tenant_id)
    scope = f"{api.identifier_uri}/access_as_user"
    return str((await party.tokens(party.code_form(await party.code(scope=scope), scope=scope)))["access_token"])


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession, api: App) -> RelyingParty:
    """Return the API as an app of its own."""
    return RelyingParty(emulator, http, api, tenant=emulator.tenant_id)


def form_for(api: App, assertion: str, /, **changes: str | None) -> dict[str, str]:
    """Return a good form, but for the changes."""
    good: dict[str, str | None] = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "client_id": api.client_id,
        "client_secret": api.secret,
        "assertion": assertion,
        "requested_token_use": "on_behalf_of",
        "scope": "https://graph.microsoft.com/User.Read offline_access",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without judging it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_api_acts_for_its_caller(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty, api: App, caller_token: str
) -> None:
    """The API gets a token of the same person for Graph, which answers /me, and can refresh it."""
    assert claims_of(caller_token)["aud"] == api.identifier_uri
    body = await party.tokens(form_for(api, caller_token))
    claims = claims_of(body["access_token"])
    assert (claims["oid"], claims["appid"], claims["appidacr"]) == (emulator.user.id, api.client_id, "1")
    assert body["ext_expires_in"] == 0
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    async with http.get(f"{emulator.graph_url}/v1.0/me", headers=headers) as response:
        assert (await response.json())["id"] == emulator.user.id
    form = party.refresh_form(body["refresh_token"], client_secret=api.secret, scope="User.Read")
    assert await party.tokens(form)
    body = await party.tokens(form_for(api, caller_token, scope="User.Read"))
    assert "refresh_token" not in body


@pytest.mark.parametrize("case", FORMS)
async def test_bad_form_is_refused(party: RelyingParty, api: App, caller_token: str, case: str) -> None:
    """A request that is wrong in one respect is refused for just that."""
    changes, expected = FORMS[case]
    assert await party.error(form_for(api, caller_token, **changes)) == expected


async def test_bad_assertion_is_refused(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty, api: App, caller_token: str
) -> None:
    """A forged, foreign or expired token, an app's own, and an ID token can't be passed on."""
    head, payload, signature = caller_token.split(".")
    forged = f"{head}.{payload}.{'A' * len(signature)}"
    assert await party.error(form_for(api, forged)) == (400, "invalid_grant", 50013)

    client = RelyingParty(emulator, http, emulator.public_app)
    signed_in = await client.sign_in()
    assert await party.error(form_for(api, signed_in["access_token"])) == (400, "invalid_grant", 500131)
    assert await party.error(form_for(api, signed_in["id_token"])) == (400, "invalid_grant", 50013)

    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": f"{api.identifier_uri}/.default",
    }
    app_only = (await party.tokens(form))["access_token"]
    assert await party.error(form_for(api, app_only)) == (400, "invalid_grant", 7000114)

    emulator.clock.move(3600)
    assert await party.error(form_for(api, caller_token)) == (400, "invalid_grant", 500133)


async def test_policy_of_the_downstream_requires_the_user(
    emulator: Emulator, party: RelyingParty, api: App, caller_token: str
) -> None:
    """What only the user can settle comes back as interaction_required, with claims to pass to the caller."""
    emulator.user.mfa_required = True
    status, body = await party.post(form_for(api, caller_token))
    assert (status, body["error"], body["error_codes"]) == (400, "interaction_required", [50076])
    assert (body["suberror"], "capolids" in body["claims"]) == ("basic_action", True)
    emulator.user.mfa_required = False
    emulator.user.disabled = True
    assert await party.error(form_for(api, caller_token)) == (400, "invalid_grant", 50057)


async def test_alias_and_public_client_are_refused(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty, api: App, caller_token: str
) -> None:
    """The tenant has to be named, and the API has to prove that it is the one the token was for."""
    public = emulator.register_app(public_client=True, exposes=["access_as_user"])
    form = form_for(api, caller_token, client_id=public.client_id, client_secret=None)
    assert await party.error(form) == (401, "invalid_client", 7000218)
    party.tenant = "organizations"
    assert await party.error(form_for(api, caller_token)) == (400, "invalid_request", 50059)


async def test_older_endpoint_takes_a_resource(party: RelyingParty, api: App, caller_token: str) -> None:
    """On v1.0 a resource takes the place of scopes."""
    form = form_for(api, caller_token, scope=None, resource="https://graph.microsoft.com")
    body = await party.tokens(form, path="oauth2/token")
    assert (body["resource"], body["expires_in"]) == ("https://graph.microsoft.com", "3599")


async def test_msal_acts_on_behalf_of(
    emulator: Emulator, api: App, caller_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmodified MSAL exchanges the caller's token."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def exchange() -> dict[str, Any]:
        app = msal.ConfidentialClientApplication(
            api.client_id,
            authority=f"{emulator.authority}/{emulator.tenant_id}",
            client_credential=api.secret,
            instance_discovery=False,
            verify=str(emulator.ca_file),
        )
        try:
            body: dict[str, Any] = app.acquire_token_on_behalf_of(
                caller_token, ["https://graph.microsoft.com/User.Read"]
            )
        finally:
            app.http_client.close()
        return body

    body = await anyio.to_thread.run_sync(exchange)
    assert claims_of(body["access_token"])["upn"] == "ada@contoso.com"
    assert {"id_token", "refresh_token"} <= body.keys()
