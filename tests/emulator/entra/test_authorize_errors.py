"""Every way the emulated Entra ID refuses at the authorize endpoint and when a code is redeemed."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.emulator.support.relying_party import RelyingParty, code_of

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from tests.emulator.support.relying_party import ErrorSummary

# What changes in a good authorize URL (None removes a parameter) → what the page says. Nothing is sent to the app.
PAGES: dict[str, tuple[dict[str, str | None], int]] = {
    "no client id": ({"client_id": None}, 900144),
    "unknown app": ({"client_id": str(uuid.uuid4())}, 700016),
    "no redirect URI": ({"redirect_uri": None}, 900144),
    "another path": ({"redirect_uri": "http://localhost:8400/other"}, 50011),
    "another host": ({"redirect_uri": "http://localhost.example:8400"}, 50011),
    "another scheme": ({"redirect_uri": "https://localhost:8400"}, 50011),
    "127.0.0.1 for localhost": ({"redirect_uri": "http://127.0.0.1:8400"}, 50011),
    "IPv6 loopback": ({"redirect_uri": "http://[::1]:8400"}, 50011),
    "a query nobody registered": ({"redirect_uri": "http://localhost:8400/?a=b"}, 50011),
    "a fragment": ({"redirect_uri": "http://localhost:8400/#a"}, 50011),
    "a user in the host": ({"redirect_uri": "http://me@localhost:8400"}, 50011),
    "a port that is none": ({"redirect_uri": "http://localhost:http"}, 50011),
    "not a URL": ({"redirect_uri": "localhost"}, 50011),
}

# The same → OAuth error and code that the app is told.
REDIRECTS: dict[str, tuple[dict[str, str | None], tuple[str, int]]] = {
    "no response type": ({"response_type": None}, ("invalid_request", 900144)),
    "unknown response type": ({"response_type": "cookie"}, ("unsupported_response_type", 70005)),
    "implicit access token": ({"response_type": "token"}, ("unsupported_response_type", 700051)),
    "implicit ID token": ({"response_type": "id_token"}, ("unsupported_response_type", 700054)),
    "hybrid": ({"response_type": "code id_token"}, ("unsupported_response_type", 700054)),
    "unknown response mode": ({"response_mode": "web_message"}, ("invalid_request", 70007)),
    "ID token in the query": ({"response_type": "id_token", "response_mode": "query"}, ("invalid_request", 70007)),
    "no scope": ({"scope": None}, ("invalid_request", 900144)),
    "blank scope": ({"scope": ""}, ("invalid_request", 900144)),
    "unknown resource": ({"scope": "https://unknown.example/.default"}, ("invalid_resource", 500011)),
    "unknown scope": ({"scope": "User.Raed"}, ("invalid_scope", 650053)),
    ".default and a named scope": (
        {"scope": "https://graph.microsoft.com/.default https://graph.microsoft.com/User.Read"},
        ("invalid_scope", 70011),
    ),
    "resource on v2.0": ({"resource": "https://graph.microsoft.com"}, ("invalid_request", 901002)),
    "unknown prompt": ({"prompt": "attempt"}, ("invalid_request", 90023)),
    "hint and choice": (
        {"prompt": "select_account", "login_hint": "ada@contoso.com"},
        ("invalid_request", 9002313),
    ),
    "claims are not JSON": ({"claims": "{"}, ("invalid_request", 9002313)),
    "claims are not an object": ({"claims": "[]"}, ("invalid_request", 9002313)),
    "challenge too short": ({"code_challenge": "a" * 42}, ("invalid_request", 50147)),
    "challenge too long": ({"code_challenge": "a" * 129}, ("invalid_request", 50147)),
    "challenge with a letter it may not have": ({"code_challenge": "+" * 43}, ("invalid_request", 501491)),
    "unknown challenge method": ({"code_challenge_method": "S512"}, ("invalid_request", 501491)),
    "method without challenge": ({"code_challenge": None}, ("invalid_request", 501491)),
    "nobody signed in": ({"prompt": "none"}, ("login_required", 50058)),
}

# What changes in a good redemption → what is answered.
REDEMPTIONS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no code": ({"code": None}, (400, "invalid_request", 900144)),
    "unknown code": ({"code": "1.abc"}, (400, "invalid_grant", 70000)),
    "no redirect URI": ({"redirect_uri": None}, (400, "invalid_request", 900144)),
    "another port": ({"redirect_uri": "http://localhost:8401"}, (400, "invalid_grant", 500112)),
    "a slash more": ({"redirect_uri": "http://localhost:8400/"}, (400, "invalid_grant", 500112)),
    "no verifier": ({"code_verifier": None}, (400, "invalid_grant", 501481)),
    "wrong verifier": ({"code_verifier": "a" * 43}, (400, "invalid_grant", 501481)),
    "public client with a secret": ({"client_secret": "s"}, (401, "invalid_client", 700025)),
    "two resources": (
        {"scope": "User.Read https://management.azure.com/user_impersonation"},
        (400, "invalid_request", 28000),
    ),
    "scope nobody consented to": ({"scope": "Files.Read"}, (400, "invalid_grant", 65001)),
    "unknown scope": ({"scope": "User.Raed"}, (400, "invalid_scope", 650053)),
    "parameter of another grant": ({"refresh_token": "1.a"}, (400, "invalid_request", 9002313)),
    "claims are not JSON": ({"claims": "{"}, (400, "invalid_request", 9002313)),
}


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession) -> RelyingParty:
    """Return the ready public client."""
    return RelyingParty(emulator, http, emulator.public_app)


async def page_code(party: RelyingParty, url: str) -> int:
    """Open the URL, which must lead to an error page of Entra ID itself, and return the code there."""
    text = await party.emulator.browser.sign_in(url)
    assert party.emulator.browser.address.startswith(party.emulator.authority)
    found = re.search(r"AADSTS(\d+)", text)
    assert found is not None, text
    assert "Correlation Id" in text
    return int(found[1])


@pytest.mark.parametrize("case", PAGES)
async def test_what_could_be_a_trap_is_shown_as_a_page(party: RelyingParty, case: str) -> None:
    """As long as it isn't sure who asks and where the response goes, the browser is sent nowhere."""
    changes, code = PAGES[case]
    assert await page_code(party, party.authorize_url(**changes)) == code


async def test_state_of_app_and_tenant_is_shown_as_a_page(party: RelyingParty, emulator: Emulator) -> None:
    """A disabled app, a tenant that isn't, personal accounts, and an alias for a single-tenant app are pages."""
    for tenant, code in (("fabrikam.com", 90002), ("consumers", 9002332)):
        party.tenant = tenant
        assert await page_code(party, party.authorize_url()) == code
    party.tenant = "common"
    party.app.multi_tenant = False
    assert await page_code(party, party.authorize_url()) == 50194
    party.tenant = emulator.domain
    assert await party.code()
    party.app.disabled = True
    assert await page_code(party, party.authorize_url()) == 7000112


async def test_repeated_parameter_is_shown_as_a_page(party: RelyingParty) -> None:
    """A parameter given twice is refused: nobody can know which one was meant."""
    assert await page_code(party, party.authorize_url() + "&state=2") == 9002313


async def test_authorize_takes_no_other_method(party: RelyingParty, http: aiohttp.ClientSession) -> None:
    """Only a GET, as a browser navigates, reaches the endpoint."""
    for method in ("POST", "HEAD"):
        async with http.request(method, party.url("oauth2/v2.0/authorize")) as response:
            assert response.status == 405


@pytest.mark.parametrize("mode", [None, "fragment"])
@pytest.mark.parametrize("case", REDIRECTS)
async def test_app_gets_the_error(party: RelyingParty, case: str, mode: str | None) -> None:
    """What is wrong with the request itself goes back to the app, with its state and in the mode it requested."""
    changes, expected = REDIRECTS[case]
    await party.emulator.browser.sign_in(party.authorize_url(**{"response_mode": mode, **changes}))
    response = party.response()
    assert (response["error"], code_of(response)) == expected
    assert response["state"] == "state &=?#é"
    assert "code" not in response
    if "response_mode" not in changes:
        assert ("#" in party.emulator.browser.address) == (mode == "fragment")


async def test_silent_sign_in_fails_where_a_page_is_needed(
    party: RelyingParty, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """prompt=none fails for several accounts, a second factor, a policy, and missing consent, each in its way."""
    await party.code()

    async def silent(**changes: str | None) -> tuple[str, int]:
        await emulator.browser.sign_in(party.authorize_url(prompt="none", **changes))
        response = party.response()
        return response["error"], code_of(response)

    emulator.user.mfa_required = True
    assert await silent() == ("interaction_required", 50076)
    emulator.user.mfa_required, emulator.user.mfa_unregistered = False, True
    assert await silent() == ("interaction_required", 50079)
    emulator.user.mfa_unregistered = False
    assert await silent(scope="Files.Read") == ("consent_required", 65001)
    assert await silent(login_hint="else@contoso.com") == ("login_required", 50058)
    await party.code(emulator.add_user("grace"), prompt="select_account")
    assert await silent() == ("interaction_required", 16000)
    emulator.user.disabled = True
    assert "code" in await party.authorize(prompt="none")


async def test_resource_the_registration_does_not_list(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """.default of a resource for which nothing is registered is refused before anybody signs in."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], delegated=["User.Read"])
    party = RelyingParty(emulator, http, app)
    await emulator.browser.sign_in(party.authorize_url(scope="https://vault.azure.net/.default"))
    assert code_of(party.response()) == 650057


@pytest.mark.parametrize("case", REDEMPTIONS)
async def test_bad_redemption_is_an_error(party: RelyingParty, case: str) -> None:
    """A redemption that is wrong in one respect is refused for just that, and the code is still good after it."""
    changes, expected = REDEMPTIONS[case]
    code = await party.code()
    assert await party.error(party.code_form(code, **changes)) == expected
    assert await party.tokens(party.code_form(code))


async def test_code_is_good_once(party: RelyingParty) -> None:
    """A code redeemed a second time is refused."""
    form = party.code_form(await party.code())
    await party.tokens(form)
    assert await party.error(form) == (400, "invalid_grant", 54005)


async def test_code_lives_ten_minutes(party: RelyingParty, emulator: Emulator) -> None:
    """A code is refused ten minutes after it was made."""
    form = party.code_form(await party.code())
    emulator.clock.move(601)
    assert await party.error(form) == (400, "invalid_grant", 70008)


async def test_code_belongs_to_its_client(party: RelyingParty, emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Another app can't redeem the code, and a confidential one not without its secret."""
    other = emulator.register_app(public_client=True, redirect_uris=["http://localhost"])
    code = await party.code()
    assert await party.error(party.code_form(code, client_id=other.client_id)) == (400, "invalid_grant", 70000)
    web_app = emulator.register_app(redirect_uris=["http://localhost"], delegated=["User.Read"], admin_consent=True)
    confidential = RelyingParty(emulator, http, web_app)
    form = confidential.code_form(await confidential.code())
    assert await confidential.error(form) == (401, "invalid_client", 7000218)
    assert await confidential.tokens(form | {"client_secret": web_app.secret})


async def test_plain_challenge_and_none(party: RelyingParty) -> None:
    """A challenge without a method is compared as it is; a verifier nobody requested is refused."""
    code = await party.code(code_challenge=party.verifier, code_challenge_method=None)
    assert await party.tokens(party.code_form(code))
    code = await party.code(code_challenge=None, code_challenge_method=None)
    assert await party.error(party.code_form(code)) == (400, "invalid_grant", 501481)
    assert await party.tokens(party.code_form(code, code_verifier=None))


async def test_user_disabled_between_code_and_tokens(party: RelyingParty, emulator: Emulator) -> None:
    """A code is worthless once its user was disabled or signed out everywhere."""
    form = party.code_form(await party.code())
    emulator.user.disabled = True
    assert await party.error(form) == (400, "invalid_grant", 50057)
    emulator.user.disabled = False
    emulator.revoke_sessions(emulator.user)
    assert await party.error(form) == (400, "invalid_grant", 50173)


async def test_redirect_uris_with_a_path_and_https(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The path counts letter by letter, the port of localhost doesn't; 127.0.0.1 keeps its port."""
    registered = ["https://localhost/Back", "http://127.0.0.1:8400/", "https://app.contoso.com/auth?x=1"]
    app = emulator.register_app(public_client=True, redirect_uris=registered)
    party = RelyingParty(emulator, http, app)
    for uri, good in {
        "https://localhost:9/Back": True,
        "https://localhost/back": False,
        "https://localhost/Back/": False,
        "http://localhost/Back": False,
        "http://127.0.0.1:8400": True,
        "http://127.0.0.1:8401": False,
        "https://app.contoso.com/auth?x=1": True,
        "https://app.contoso.com/auth": False,
        "https://app.contoso.com:8443/auth?x=1": False,
    }.items():
        url = party.authorize_url(redirect_uri=uri, prompt="none")
        async with http.get(URL(url, encoded=True), allow_redirects=False) as response:
            assert (response.status == 302) == good, uri
            assert ("Location" in response.headers) == good


@pytest.mark.parametrize(
    "uri", ["http://app.contoso.com", "myapp://auth", "https://a/#b", "https://a/*", "https://a/" + "b" * 256]
)
async def test_bad_redirect_uri_cannot_be_registered(emulator: Emulator, uri: str) -> None:
    """What Entra ID would not register is an error of the test that tries."""
    with pytest.raises(ValueError, match="redirect URI"):
        emulator.register_app(public_client=True, redirect_uris=[uri])


async def test_single_page_app_needs_pkce_and_origin(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A single-page application must use PKCE and redeem from a browser; everyone else must not."""
    app = emulator.register_app(
        public_client=True, spa_redirect_uris=["http://localhost"], delegated=["User.Read"], admin_consent=True
    )
    party = RelyingParty(emulator, http, app)
    await emulator.browser.sign_in(party.authorize_url(code_challenge=None, code_challenge_method=None))
    assert code_of(party.response()) == 9002325
    form = party.code_form(await party.code())
    origin = {"Origin": "http://localhost:8400"}
    assert await party.error(form) == (400, "invalid_request", 9002327)
    body = await party.tokens(form, headers=origin)
    refresh = party.refresh_form(body["refresh_token"])
    assert await party.error(refresh) == (400, "invalid_request", 9002327)
    renewed = await party.tokens(refresh, headers=origin)
    emulator.clock.move(86400)
    # The day counts from the first one; renewing does not prolong it.
    for token in (body["refresh_token"], renewed["refresh_token"]):
        refused = await party.error(party.refresh_form(token), headers=origin)
        assert refused == (400, "invalid_grant", 700084)
    native = RelyingParty(emulator, http, emulator.public_app)
    form = native.code_form(await native.code())
    assert await native.error(form, headers=origin) == (400, "invalid_request", 9002326)


async def test_pages_hold_against_tampering(
    party: RelyingParty, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A page of another browser, a forged or stale one, and steps out of order lead nowhere."""

    async def post(step: str, **fields: str) -> str:
        async with http.post(f"{emulator.authority}/common/login/{step}", data=fields) as response:
            assert response.status == 400
            found = re.search(r"AADSTS(\d+)", await response.text())
            assert found is not None
            return found[1]

    async def flow() -> str:
        async with http.get(URL(party.authorize_url(), encoded=True)) as response:
            found = re.search(r'name="flow" value="([^"]+)"', await response.text())
            assert found is not None
            return found[1]

    assert await post("name", login="ada@contoso.com") == "50089"
    own = await flow()
    assert await post("consent", flow=own, choice="accept") == "50089"
    assert await post("mfa", flow=own, choice="approve", number="") == "50089"
    assert await post("password", flow=own, password=emulator.user.password) == "50089"
    assert await post("elsewhere", flow=own) == "9002313"
    http.cookie_jar.clear()
    assert await post("name", flow=own, login="ada@contoso.com") == "165000"
    late = await flow()
    emulator.clock.move(901)
    assert await post("name", flow=late, login="ada@contoso.com") == "50089"


async def test_pages_load_nothing_and_may_not_be_framed(party: RelyingParty, http: aiohttp.ClientSession) -> None:
    """The pages are self-contained: no address but their own, and a policy that forbids everything else."""
    async with http.get(URL(party.authorize_url(), encoded=True)) as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
