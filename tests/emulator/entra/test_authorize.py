"""Signing in on the emulated Entra ID's pages: from the authorize URL to the tokens."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import anyio
import anyio.to_thread
import jwt
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.emulator.support.relying_party import RelyingParty, code_of

if TYPE_CHECKING:
    from entra_async.testing import Emulator

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession) -> RelyingParty:
    """Return the ready public client."""
    return RelyingParty(emulator, http, emulator.public_app)


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without judging it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_code_brings_tokens_for_the_user(emulator: Emulator, party: RelyingParty) -> None:
    """The code is redeemed for an access token, a refresh token and client_info of the user who signed in."""
    response = await party.authorize(client_info="1")
    assert list(response) == ["code", "client_info", "state", "session_state"]
    assert response["state"] == "state &=?#é"
    body = await party.tokens(party.code_form(response["code"], client_info="1"))

    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)
    assert {"User.Read", "openid", "profile"} <= set(body["scope"].split())
    assert body["client_info"] == response["client_info"]
    claims = claims_of(body["access_token"])
    assert (claims["aud"], claims["idtyp"], claims["appidacr"]) == (GRAPH_APP_ID, "user", "0")
    assert (claims["upn"], claims["oid"]) == ("ada@contoso.com", emulator.user.id)
    assert "User.Read" in claims["scp"].split()
    assert "roles" not in claims


async def test_id_token_verifies_and_echoes_the_nonce(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty
) -> None:
    """The ID token holds against the published keys, names the client, echoes the nonce; its subject is pairwise."""
    async with http.get(f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration") as response:
        document = await response.json()
    async with http.get(document["jwks_uri"]) as response:
        keys = jwt.PyJWKSet.from_dict(await response.json())
    token = (await party.sign_in())["id_token"]
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=["RS256"],
        audience=party.app.client_id,
        issuer=document["issuer"],
    )
    assert (claims["nonce"], claims["preferred_username"], claims["ver"]) == ("nonce-1", "ada@contoso.com", "2.0")
    other = RelyingParty(emulator, http, emulator.register_app(redirect_uris=["http://localhost"], public_client=True))
    assert claims_of((await other.sign_in())["id_token"])["sub"] != claims["sub"]


async def test_me_is_the_user_of_the_token(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty
) -> None:
    """Graph's /me is the user for a delegated token, and what was not consented to is 403."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], delegated=["User.Read"])
    token = (await RelyingParty(emulator, http, app).sign_in())["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{emulator.graph_url}/v1.0/me", headers=headers) as response:
        assert (response.status, (await response.json())["userPrincipalName"]) == (200, "ada@contoso.com")
    async with http.get(f"{emulator.graph_url}/v1.0/users", headers=headers) as response:
        assert response.status == 403


async def test_fragment_and_query_modes(party: RelyingParty, emulator: Emulator) -> None:
    """The response comes in the query, or in the fragment when requested; a bare host gets its slash."""
    await party.authorize(response_mode="query")
    assert emulator.browser.address.startswith("http://localhost:8400/?code=")
    await party.authorize(response_mode="fragment")
    assert emulator.browser.address.startswith("http://localhost:8400/#code=")


async def test_form_post_reaches_the_app(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """In form_post mode the page posts the response to the app by itself, and nothing of it is in a URL."""
    received: dict[str, Any] = {}

    async def receive(request: web.Request) -> web.Response:
        received.update(await request.post())
        assert not request.query_string
        return web.Response(text="<h1>Back in the app</h1>", content_type="text/html")

    application = web.Application()
    application.router.add_post("/", receive)
    async with TestServer(application, host="127.0.0.1") as server:
        party = RelyingParty(emulator, http, emulator.public_app, redirect_uri=f"http://localhost:{server.port}")
        text = await emulator.browser.sign_in(party.authorize_url(response_mode="form_post"))
    assert text == "Back in the app"
    assert received["state"] == "state &=?#é"
    assert await party.tokens(party.code_form(received["code"]))


async def test_several_resources_are_consented_at_once(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """One sign-in may name several resources; its code buys one token, its refresh token the others."""
    party = RelyingParty(emulator, http, emulator.register_app(redirect_uris=["http://localhost"], public_client=True))
    azure = "https://management.azure.com/user_impersonation"
    code = await party.code(scope=f"https://graph.microsoft.com/User.Read {azure} offline_access")
    body = await party.tokens(party.code_form(code, scope=None))
    assert (claims_of(body["access_token"])["aud"], body["scope"]) == (
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/User.Read",
    )
    body = await party.tokens(party.refresh_form(body["refresh_token"], scope=azure))
    assert (claims_of(body["access_token"])["aud"], body["scope"]) == ("https://management.azure.com", azure)


async def test_older_endpoints_take_a_resource(party: RelyingParty) -> None:
    """On v1.0 a resource takes the place of scopes, numbers are texts, and all tokens come unrequested."""
    code = await party.code(
        path="oauth2/authorize", scope=None, resource="https://management.azure.com/", code_challenge=None,
        code_challenge_method=None,
    )  # fmt: skip
    form = party.code_form(code, scope=None, code_verifier=None)
    body = await party.tokens(form, path="oauth2/token")
    assert (body["resource"], body["expires_in"]) == ("https://management.azure.com/", "3599")
    assert body["scope"] == "user_impersonation"
    assert claims_of(body["id_token"])["upn"] == "ada@contoso.com"
    form = party.refresh_form(body["refresh_token"], scope=None, resource="https://vault.azure.net")
    assert (
        claims_of((await party.tokens(form, path="oauth2/token"))["access_token"])["aud"] == "https://vault.azure.net"
    )


async def test_signed_in_user_sees_no_page_again(emulator: Emulator, party: RelyingParty) -> None:
    """The browser's cookie signs the user in without a page; prompt=login asks all the same."""
    await party.code()
    await party.code()
    assert len(emulator.browser.pages) == 1
    await party.code(prompt="none")
    assert len(emulator.browser.pages) == 1
    await party.code(prompt="login")
    assert ["Enter password" in page for page in emulator.browser.pages] == [False, True, False]
    emulator.revoke_sessions(emulator.user)
    await party.code()
    assert len(emulator.browser.pages) == 3


async def test_user_picks_one_of_several_accounts(emulator: Emulator, party: RelyingParty) -> None:
    """With two users signed in the page asks which one; another account can be used instead."""
    grace, alan = emulator.add_user("grace"), emulator.add_user("alan")
    await party.sign_in()
    assert claims_of((await party.sign_in(grace, prompt="select_account"))["id_token"])["name"] == "Grace"
    ada = claims_of((await party.sign_in())["id_token"])
    assert "Pick an account" in emulator.browser.pages[0]
    assert ada["preferred_username"] == "ada@contoso.com"
    assert claims_of((await party.sign_in(alan))["id_token"])["oid"] == alan.id
    # The account named in advance is taken without a question.
    hinted = await party.sign_in(login_hint="GRACE@contoso.com")
    assert claims_of(hinted["id_token"])["oid"] == grace.id
    assert len(emulator.browser.pages) == 1


async def test_second_factor_is_required_once(emulator: Emulator, party: RelyingParty) -> None:
    """A user with MFA enters the number shown; the token says so, and the session remembers."""
    emulator.user.mfa_required = True
    body = await party.sign_in()
    assert any("enter the number shown" in page for page in emulator.browser.pages)
    assert claims_of(body["access_token"])["amr"] == ["pwd", "mfa"]
    await party.sign_in()
    assert len(emulator.browser.pages) == 1


async def test_registration_of_the_second_factor(emulator: Emulator, party: RelyingParty) -> None:
    """A user who still has to register a second factor does so on the page, and other flows then ask for it."""
    emulator.user.mfa_unregistered = True
    await party.sign_in()
    assert (emulator.user.mfa_unregistered, emulator.user.mfa_required) == (False, True)


async def test_denied_second_factor_and_wrong_password_stay_on_the_page(
    emulator: Emulator, party: RelyingParty
) -> None:
    """A wrong password or a denied request is said on the page with its code, and the app hears nothing."""
    browser, url = emulator.browser, party.authorize_url()
    assert "(50126)" in await browser.sign_in(url, wrong_password=True)
    emulator.user.mfa_required = True
    assert "(500121)" in await browser.sign_in(url, deny_mfa=True)
    emulator.user.mfa_required = False
    for name, code in (("locked", 50053), ("disabled", 50057), ("password_expired", 50055)):
        setattr(emulator.user, name, True)
        assert f"({code})" in await browser.sign_in(url)
        setattr(emulator.user, name, False)
    emulator.user.blocked_by_policy = True
    assert "AADSTS53003" in await browser.sign_in(url)
    assert browser.address.startswith(emulator.authority)
    emulator.user.blocked_by_policy = False


async def test_unknown_user_name_is_shown_on_the_page(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A user name nobody has is refused on the page that requested it."""
    party = RelyingParty(emulator, http, emulator.public_app)
    async with http.delete(
        f"{emulator.graph_url}/v1.0/users/{emulator.user.id}",
        headers={"Authorization": f"Bearer {await app_token(emulator, http)}"},
    ) as response:
        assert response.status == 204
    assert "(50034)" in await emulator.browser.sign_in(party.authorize_url())


async def app_token(emulator: Emulator, http: aiohttp.ClientSession) -> str:
    """Return a token of the app that may do everything."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        return str((await response.json())["access_token"])


async def test_name_and_password_can_be_corrected(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """An empty name is requested again, a hint fills it in, and Back leads from the password to the name."""
    grace = emulator.add_user("grace")
    party = RelyingParty(emulator, http, emulator.public_app)

    async def post(step: str, flow: str, **fields: str) -> str:
        async with http.post(f"{emulator.authority}/common/login/{step}", data={"flow": flow, **fields}) as response:
            return await response.text()

    async with http.get(URL(party.authorize_url(login_hint="nobody@contoso.com"), encoded=True)) as response:
        page = await response.text()
    assert 'value="nobody@contoso.com"' in page
    flow = page.partition('name="flow" value="')[2].partition('"')[0]
    assert "Enter a valid email address" in await post("name", flow, login=" ")
    assert "(50034)" in await post("name", flow, login="ada@fabrikam.com")
    assert "Enter password" in await post("name", flow, login="ADA@contoso.com")
    assert 'value="ADA@contoso.com"' in await post("password", flow, choice="back")
    assert "grace@contoso.com" in await post("name", flow, login="grace@contoso.com")
    async with http.post(
        f"{emulator.authority}/common/login/password",
        data={"flow": flow, "password": grace.password},
        allow_redirects=False,
    ) as response:
        assert response.headers["Location"].startswith("http://localhost:8400/?code=")
    with pytest.raises(ValueError, match=r"grace@contoso\.com already"):
        emulator.add_user("grace")


async def test_private_window_has_no_session(emulator: Emulator, party: RelyingParty) -> None:
    """Once the browser has forgotten its cookies, the user is asked again."""
    await party.code()
    emulator.browser.forget()
    await party.code()
    assert len(emulator.browser.pages) == 3


async def test_consent_is_requested_once_and_can_be_declined(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The page lists what the app wants; no is told to the app, yes is remembered, prompt=consent asks again."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], name="Mail <Sorter>")
    party = RelyingParty(emulator, http, app)
    url = party.authorize_url(scope="Mail.Read offline_access")
    await emulator.browser.sign_in(url, decline=True)
    response = party.response()
    assert (response["error"], code_of(response), response["state"]) == ("access_denied", 65004, "state &=?#é")
    await emulator.browser.sign_in(url)
    (page,) = [page for page in emulator.browser.pages if "Permissions requested" in page]
    assert "Mail <Sorter>" in page
    assert "Mail.Read" in page
    assert "Maintain access" in page
    assert "code" in party.response()
    await emulator.browser.sign_in(url)
    assert len(emulator.browser.pages) == 1
    await party.code(scope="Mail.Read offline_access", prompt="consent")
    assert "Permissions requested" in emulator.browser.pages[0]


async def test_only_an_administrator_grants_some_permissions(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A permission that needs an administrator can't be consented to; the way back tells the app."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"])
    party = RelyingParty(emulator, http, app)
    await emulator.browser.sign_in(party.authorize_url(scope="User.Read.All"), decline=True)
    assert "Need admin approval" in emulator.browser.pages[-2]
    response = party.response()
    assert (response["error"], code_of(response)) == ("access_denied", 90094)


async def test_cancel_on_the_first_page_is_an_error_response(emulator: Emulator, party: RelyingParty) -> None:
    """A user who cancels comes back to the app with access_denied and no code."""
    await emulator.browser.sign_in(party.authorize_url(), cancel=True)
    assert party.response() == {"error": "access_denied", "error_subcode": "cancel", "state": "state &=?#é"}


async def test_browser_raises_when_it_could_not_deviate(emulator: Emulator, party: RelyingParty) -> None:
    """Declining where no consent is requested is an error of the test, not silence."""
    with pytest.raises(LookupError, match="decline"):
        await emulator.browser.sign_in(party.authorize_url(), decline=True)


async def test_signing_out_shows_the_page_again(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty
) -> None:
    """After the logout page the browser is a stranger again."""
    await party.code()
    text = await emulator.browser.sign_in(party.url("oauth2/v2.0/logout"))
    assert "You signed out" in text
    await party.code()
    assert len(emulator.browser.pages) == 3


@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_msal_signs_a_user_in(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Unmodified MSAL signs a user in with PKCE, state and nonce, and then gets another resource silently."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    received: dict[str, Any] = {}

    async def receive(request: web.Request) -> web.Response:
        received.update(await request.post() if request.method == "POST" else request.query)
        return web.Response(text="Done")

    application = web.Application()
    application.router.add_route("*", "/", receive)
    in_thread = anyio.to_thread.run_sync
    app = await in_thread(make_msal, emulator)
    try:
        async with TestServer(application, host="127.0.0.1") as server:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="response_mode='form_post' is recommended")
                flow = app.initiate_auth_code_flow(
                    ["User.Read"], redirect_uri=f"http://localhost:{server.port}", response_mode=mode
                )
            assert await emulator.browser.sign_in(flow["auth_uri"]) == "Done"
        body = await in_thread(app.acquire_token_by_auth_code_flow, flow, received)
        assert body["id_token_claims"]["preferred_username"] == "ada@contoso.com"
        (account,) = app.get_accounts()
        azure = ["https://management.azure.com/user_impersonation"]
        silent = await in_thread(app.acquire_token_silent_with_error, azure, account)
        assert claims_of(silent["access_token"])["aud"] == "https://management.azure.com"
        again = await in_thread(app.acquire_token_by_auth_code_flow, flow, received)
        assert again["error_codes"] == [54005]
    finally:
        app.http_client.close()


def make_msal(emulator: Emulator) -> msal.PublicClientApplication:
    """Return MSAL for the ready public client; blocks."""
    return msal.PublicClientApplication(
        emulator.public_app.client_id,
        authority=f"{emulator.authority}/organizations",
        instance_discovery=False,
        verify=str(emulator.ca_file),
    )


async def test_secrets_of_a_sign_in_are_not_recorded(emulator: Emulator, party: RelyingParty) -> None:
    """Password, code, verifier and refresh token show neither in the record of requests nor in any repr."""
    code = await party.code()
    body = await party.tokens(party.code_form(code))
    await party.tokens(party.refresh_form(body["refresh_token"]))
    record = "".join(f"{request!r}" for request in emulator.requests)
    for secret in (emulator.user.password, code, party.verifier, body["refresh_token"], body["access_token"]):
        assert secret not in record
    assert dict(parse_qsl(urlsplit(emulator.browser.address).query))["code"] == code
