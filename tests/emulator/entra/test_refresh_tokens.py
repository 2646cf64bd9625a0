"""The emulated refresh tokens: for any resource, renewed at each use, revoked and expired."""

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
    from tests.emulator.support.relying_party import ErrorSummary

DAY_S = 86400.0

FORMS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no refresh token": ({"refresh_token": None}, (400, "invalid_request", 900144)),
    "unknown refresh token": ({"refresh_token": "1.abc"}, (400, "invalid_grant", 70000)),
    "no client id": ({"client_id": None}, (400, "invalid_request", 900144)),
    "unknown app": ({"client_id": "app"}, (400, "unauthorized_client", 700016)),
    "public client with a secret": ({"client_secret": "s"}, (401, "invalid_client", 700025)),
    "scope nobody consented to": ({"scope": "Files.Read"}, (400, "invalid_grant", 65001)),
    "unknown scope": ({"scope": "User.Raed"}, (400, "invalid_scope", 650053)),
    "unknown resource": ({"scope": "https://unknown.example/.default"}, (400, "invalid_resource", 500011)),
    "resource that is not registered": (
        {"scope": "api://AzureADTokenExchange/.default"},
        (400, "invalid_resource", 650057),
    ),
    "resource on v2.0": ({"resource": "https://vault.azure.net"}, (400, "invalid_request", 901002)),
    "parameter of another grant": ({"username": "ada@contoso.com"}, (400, "invalid_request", 9002313)),
}


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession) -> RelyingParty:
    """Return the ready public client."""
    return RelyingParty(emulator, http, emulator.public_app)


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without judging it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_one_refresh_token_serves_every_resource(party: RelyingParty) -> None:
    """It buys a token for any resource consented to; of several named, the first one gets it."""
    token = (await party.sign_in())["refresh_token"]
    for scope, audience in {
        "https://management.azure.com/.default": "https://management.azure.com",
        "https://vault.azure.net/user_impersonation User.Read": "https://vault.azure.net",
        "https://api.securitycenter.microsoft.com/.default openid": "https://api.securitycenter.microsoft.com",
    }.items():
        body = await party.tokens(party.refresh_form(token, scope=scope))
        assert claims_of(body["access_token"])["aud"] == audience
        assert body["scope"].split()[0].startswith(audience)
        assert {"refresh_token", "id_token"} <= body.keys()


async def test_refresh_token_rotates(party: RelyingParty) -> None:
    """Each use brings a new one, the old one stays good, and ninety days count from the last use."""
    first = (await party.sign_in())["refresh_token"]
    second = (await party.tokens(party.refresh_form(first)))["refresh_token"]
    assert second != first
    assert await party.tokens(party.refresh_form(first))
    party.emulator.clock.move(60 * DAY_S)
    third = (await party.tokens(party.refresh_form(second)))["refresh_token"]
    party.emulator.clock.move(60 * DAY_S)
    status, body = await party.post(party.refresh_form(second))
    assert (status, body["error_codes"], body["suberror"]) == (400, [700082], "token_expired")
    assert await party.tokens(party.refresh_form(third))


async def test_scope_may_be_left_out(party: RelyingParty) -> None:
    """Without a scope the token is for what was requested at sign-in."""
    body = await party.sign_in(scope="https://vault.azure.net/.default offline_access")
    assert claims_of(body["access_token"])["aud"] == "00000003-0000-0000-c000-000000000000"
    body = await party.tokens(party.refresh_form(body["refresh_token"], scope=None))
    assert claims_of(body["access_token"])["aud"] == "https://vault.azure.net"


async def test_client_that_handles_challenges_gets_a_long_token(party: RelyingParty) -> None:
    """The access token of a client that declares cp1 says so, and lives a day."""
    token = (await party.sign_in())["refresh_token"]
    declared = '{"access_token":{"xms_cc":{"values":["CP1"]}}}'
    body = await party.tokens(party.refresh_form(token, claims=declared))
    assert (claims_of(body["access_token"])["xms_cc"], body["expires_in"]) == (["cp1"], 86399)


async def test_no_refresh_token_without_offline_access(party: RelyingParty) -> None:
    """A refresh token is issued only where offline_access was granted at sign-in."""
    body = await party.sign_in(scope="User.Read openid")
    assert "refresh_token" not in body


@pytest.mark.parametrize("case", FORMS)
async def test_bad_form_is_refused(party: RelyingParty, case: str) -> None:
    """A request that is wrong in one respect is refused for just that, and the token stays good."""
    changes, expected = FORMS[case]
    token = (await party.sign_in())["refresh_token"]
    assert await party.error(party.refresh_form(token, **changes)) == expected
    assert await party.tokens(party.refresh_form(token))


async def test_refresh_token_belongs_to_its_client(party: RelyingParty, emulator: Emulator) -> None:
    """Another app can't use it."""
    other = emulator.register_app(public_client=True)
    token = (await party.sign_in())["refresh_token"]
    status, body = await party.post(party.refresh_form(token, client_id=other.client_id))
    assert (status, body["error_codes"], body["suberror"]) == (400, [70000], "client_mismatch")


async def test_revocation(party: RelyingParty, emulator: Emulator) -> None:
    """Signing out everywhere and a new password revoke it; a new sign-in brings one that works."""
    token = (await party.sign_in())["refresh_token"]
    emulator.revoke_sessions(emulator.user)
    assert await party.error(party.refresh_form(token)) == (400, "invalid_grant", 50173)
    token = (await party.sign_in())["refresh_token"]
    assert await party.tokens(party.refresh_form(token))
    emulator.user.password = "another"
    assert await party.error(party.refresh_form(token)) == (400, "invalid_grant", 50173)


async def test_state_of_the_user(party: RelyingParty, emulator: Emulator) -> None:
    """A disabled user gets nothing, a policy requires a page, with claims, and consent can be withdrawn."""
    token = (await party.sign_in())["refresh_token"]
    emulator.user.disabled = True
    assert await party.error(party.refresh_form(token)) == (400, "invalid_grant", 50057)
    emulator.user.disabled = False
    emulator.user.mfa_required = True
    status, body = await party.post(party.refresh_form(token))
    assert (status, body["error"], body["error_codes"]) == (400, "interaction_required", [50076])
    assert (body["suberror"], "capolids" in body["claims"]) == ("basic_action", True)
    # Signed in again with the second factor, the token carries it on.
    passed = (await party.sign_in(claims=body["claims"], prompt="login"))["refresh_token"]
    assert claims_of((await party.tokens(party.refresh_form(passed)))["access_token"])["amr"] == ["pwd", "mfa"]
    party.app.admin_consent = frozenset()
    assert await party.error(party.refresh_form(passed)) == (400, "invalid_grant", 65001)


async def test_response_can_have_refresh_in(party: RelyingParty, emulator: Emulator) -> None:
    """refresh_in is in the response once the emulator is told how long tokens should be kept."""
    token = (await party.sign_in())["refresh_token"]
    emulator.token_lifetimes.refresh_in_s = 1800
    assert (await party.tokens(party.refresh_form(token)))["refresh_in"] == 1800


async def test_msal_redeems_a_refresh_token(
    party: RelyingParty, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmodified MSAL buys tokens with a refresh token from elsewhere, and reports a revoked one."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    token = (await party.sign_in())["refresh_token"]

    def redeem() -> dict[str, Any]:
        app = msal.PublicClientApplication(
            emulator.public_app.client_id,
            authority=f"{emulator.authority}/organizations",
            instance_discovery=False,
            verify=str(emulator.ca_file),
        )
        try:
            body: dict[str, Any] = app.acquire_token_by_refresh_token(token, ["User.Read"])
        finally:
            app.http_client.close()
        return body

    assert claims_of((await anyio.to_thread.run_sync(redeem))["access_token"])["upn"] == "ada@contoso.com"
    emulator.revoke_sessions(emulator.user)
    assert (await anyio.to_thread.run_sync(redeem))["error_codes"] == [50173]
