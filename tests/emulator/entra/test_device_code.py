"""The emulated device code flow: the code, the page, and how often one may ask."""

from __future__ import annotations

import warnings
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

START = "oauth2/v2.0/devicecode"
PENDING: ErrorSummary = (400, "authorization_pending", 70016)
SLOW_DOWN: ErrorSummary = (400, "slow_down", 70016)

STARTS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no client id": ({"client_id": None}, (400, "invalid_request", 900144)),
    "unknown app": ({"client_id": "app"}, (400, "unauthorized_client", 700016)),
    "no scope": ({"scope": None}, (400, "invalid_request", 900144)),
    "unknown scope": ({"scope": "User.Raed"}, (400, "invalid_scope", 650053)),
    "two resources": (
        {"scope": "User.Read https://vault.azure.net/.default"},
        (400, "invalid_request", 28000),
    ),
    "resource on v2.0": ({"resource": "https://vault.azure.net"}, (400, "invalid_request", 901002)),
    "resource that is not registered": (
        {"scope": "api://AzureADTokenExchange/.default"},
        (400, "invalid_resource", 650057),
    ),
}

POLLS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no device code": ({"device_code": None}, (400, "invalid_request", 900144)),
    "unknown device code": ({"device_code": "a"}, (400, "bad_verification_code", 70018)),
    "no client id": ({"client_id": None}, (400, "invalid_request", 900144)),
    "public client with a secret": ({"client_secret": "s"}, (401, "invalid_client", 700025)),
    "parameter of another grant": ({"password": "p"}, (400, "invalid_request", 9002313)),
}


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession) -> RelyingParty:
    """Return the ready public client."""
    return RelyingParty(emulator, http, emulator.public_app)


async def start(party: RelyingParty, **changes: str) -> dict[str, Any]:
    """Ask for a device code."""
    form = {"client_id": party.app.client_id, "scope": "User.Read openid offline_access", **changes}
    return await party.tokens(form, path=START)


def poll_form(party: RelyingParty, device_code: str, /, **changes: str | None) -> dict[str, str]:
    """Return a good form to poll with, but for the changes."""
    good: dict[str, str | None] = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": party.app.client_id,
        "device_code": device_code,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


async def test_user_signs_in_on_another_device(party: RelyingParty, emulator: Emulator) -> None:
    """The code is shown with the page, waiting is pending, and once the user agreed there are tokens, once."""
    begun = await start(party)
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    assert begun["verification_uri"] == f"{emulator.authority}/common/oauth2/deviceauth"
    assert begun["user_code"] in begun["message"]
    assert "verification_uri_complete" not in begun
    form = poll_form(party, begun["device_code"])
    status, body = await party.post(form)
    assert (status, body["error"], body["error_codes"]) == (*PENDING[:2], [70016])
    assert "Authorization is pending. Continue polling." in body["error_description"]

    text = await emulator.browser.enter_device_code(begun["user_code"].lower())
    assert "You have signed in to the Emulated app application on your device." in text
    assert any("Are you trying to sign in to Emulated app?" in page for page in emulator.browser.pages)
    emulator.clock.move(5)
    body = await party.tokens(form)
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (claims["upn"], claims["appid"]) == ("ada@contoso.com", party.app.client_id)
    assert body["refresh_token"]
    emulator.clock.move(5)
    assert await party.error(form) == (400, "invalid_grant", 54005)


async def test_polling_too_often_slows_down(party: RelyingParty, emulator: Emulator) -> None:
    """A poll before the interval has passed is told to slow down, and from then on has to wait five seconds more."""
    form = poll_form(party, (await start(party))["device_code"])
    assert await party.error(form) == PENDING
    assert await party.error(form) == SLOW_DOWN
    emulator.clock.move(6)
    assert await party.error(form) == SLOW_DOWN
    emulator.clock.move(15)
    assert await party.error(form) == PENDING


async def test_declined_and_expired(party: RelyingParty, emulator: Emulator) -> None:
    """A user who says no, a code that got too old, and a user who comes too late end the waiting."""
    declined, expired = await start(party), await start(party)
    text = await emulator.browser.enter_device_code(declined["user_code"], decline=True)
    assert "You cancelled" in text
    refused = await party.error(poll_form(party, declined["device_code"]))
    assert refused == (400, "authorization_declined", 65004)
    assert "(90120)" in await emulator.browser.enter_device_code(declined["user_code"])
    emulator.clock.move(900)
    refused = await party.error(poll_form(party, expired["device_code"]))
    assert refused == (400, "expired_token", 70019)
    assert "(70018)" in await emulator.browser.enter_device_code(expired["user_code"])


async def test_declined_consent(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """No to the permissions is a no to the device."""
    app = emulator.register_app(public_client=True)
    party = RelyingParty(emulator, http, app)
    begun = await start(party)
    page = await emulator.browser.enter_device_code(begun["user_code"], decline=True)
    assert "You cancelled" in page
    assert (await party.error(poll_form(party, begun["device_code"])))[1] == "authorization_declined"
    begun = await start(party)
    await emulator.browser.enter_device_code(begun["user_code"])
    assert any("Permissions requested" in page for page in emulator.browser.pages)
    assert await party.tokens(poll_form(party, begun["device_code"]))


async def test_admin_permission_declines_the_device_code(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Where only an administrator could consent, the user goes back and the device is told no."""
    party = RelyingParty(emulator, http, emulator.register_app(public_client=True))
    begun = await start(party, scope="User.Read.All")
    assert "(90094)" in await emulator.browser.enter_device_code(begun["user_code"])
    assert (await party.error(poll_form(party, begun["device_code"])))[1] == "authorization_declined"


async def test_code_that_runs_out_on_the_pages(
    party: RelyingParty, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A user who takes longer than the code lives is told so on the last page, and the device gets nothing."""
    begun = await start(party)
    emulator.clock.move(300)

    async def post(path: str, **fields: str) -> str:
        async with http.post(f"{emulator.authority}/common/{path}", data=fields) as response:
            return await response.text()

    page = await post("oauth2/deviceauth", user_code=begun["user_code"])
    flow = page.partition('name="flow" value="')[2].partition('"')[0]
    await post("login/name", flow=flow, login="ada@contoso.com")
    page = await post("login/password", flow=flow, password=emulator.user.password)
    assert "Are you trying to sign in" in page
    emulator.clock.move(600)
    assert "AADSTS70019" in await post("login/confirm", flow=flow, choice="continue")
    assert await party.error(poll_form(party, begun["device_code"])) == (400, "expired_token", 70019)


async def test_wrong_user_code_is_shown_on_the_page(emulator: Emulator) -> None:
    """A code nobody is waiting for, and none at all, are requested again."""
    assert "(70018)" in await emulator.browser.enter_device_code("ABCDEFGHJ")
    assert "(90119)" in await emulator.browser.enter_device_code(" ")


@pytest.mark.parametrize("case", STARTS)
async def test_bad_start_is_refused(party: RelyingParty, case: str) -> None:
    """A request for a code that is wrong in one respect is refused for just that."""
    changes, expected = STARTS[case]
    good: dict[str, str | None] = {"client_id": party.app.client_id, "scope": "User.Read", **changes}
    form = {name: value for name, value in good.items() if value is not None}
    assert await party.error(form, path=START) == expected


@pytest.mark.parametrize("case", POLLS)
async def test_bad_poll_is_refused(party: RelyingParty, case: str) -> None:
    """A poll that is wrong in one respect is refused for just that."""
    changes, expected = POLLS[case]
    begun = await start(party)
    assert await party.error(poll_form(party, begun["device_code"], **changes)) == expected


async def test_states_of_app_and_tenant(party: RelyingParty, emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Another app can't poll; a disabled app, an unknown tenant and personal accounts can't start; GET is refused."""
    begun = await start(party)
    other = emulator.register_app(public_client=True)
    refused = await party.error(poll_form(party, begun["device_code"], client_id=other.client_id))
    assert refused == (400, "invalid_grant", 70000)
    form = {"client_id": party.app.client_id, "scope": "User.Read"}
    async with http.get(party.url(START)) as response:
        assert (await response.json())["error_codes"] == [900561]
    for tenant, code in (("fabrikam.com", 90002), ("consumers", 9002332)):
        party.tenant = tenant
        assert (await party.error(form, path=START))[2] == code
    party.tenant = "common"
    party.app.multi_tenant = False
    assert (await party.error(form, path=START))[2] == 50194
    party.tenant = emulator.tenant_id
    assert await party.tokens(form, path=START)
    party.app.disabled = True
    assert (await party.error(form, path=START))[2] == 7000112


async def test_older_endpoint_writes_texts(party: RelyingParty, emulator: Emulator) -> None:
    """On v1.0 a resource takes the place of scopes, and the code is polled for as ``code``."""
    form = {"client_id": party.app.client_id, "resource": "https://management.azure.com/"}
    begun = await party.tokens(form, path="oauth2/devicecode")
    assert (begun["expires_in"], begun["interval"]) == ("900", "5")
    await emulator.browser.enter_device_code(begun["user_code"])
    form = poll_form(party, begun["device_code"], device_code=None, code=begun["device_code"])
    assert (await party.tokens(form, path="oauth2/token"))["resource"] == "https://management.azure.com/"


async def test_msal_signs_in_by_device_code(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unmodified MSAL starts the flow, is told to wait, and has its tokens once the user agreed."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    in_thread = anyio.to_thread.run_sync

    def make() -> tuple[msal.PublicClientApplication, dict[str, Any]]:
        app = msal.PublicClientApplication(
            emulator.public_app.client_id,
            authority=f"{emulator.authority}/{emulator.tenant_id}",
            instance_discovery=False,
            verify=str(emulator.ca_file),
        )
        return app, app.initiate_device_flow(["User.Read"])

    def poll() -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Attempted too soon")  # MSAL's own word for what is wanted here
            body: dict[str, Any] = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
        return body

    app, flow = await in_thread(make)
    try:
        assert (await in_thread(poll))["error"] == "authorization_pending"
        assert (await in_thread(poll))["error"] == "slow_down"
        await emulator.browser.enter_device_code(flow["user_code"])
        emulator.clock.move(10)
        body = await in_thread(poll)
        assert body["id_token_claims"]["preferred_username"] == "ada@contoso.com"
    finally:
        app.http_client.close()
