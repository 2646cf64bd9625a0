"""The emulated password grant, and the user realm that clients ask for before it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest
import requests

from tests.emulator.support.relying_party import RelyingParty

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from tests.emulator.support.relying_party import ErrorSummary

FORMS: dict[str, tuple[dict[str, str | None], ErrorSummary]] = {
    "no user name": ({"username": None}, (400, "invalid_request", 900144)),
    "no password": ({"password": None}, (400, "invalid_request", 900144)),
    "empty password": ({"password": ""}, (400, "invalid_request", 900144)),
    "unknown user": ({"username": "nobody@contoso.com"}, (400, "invalid_grant", 50034)),
    "user of another domain": ({"username": "ada@fabrikam.com"}, (400, "invalid_grant", 50034)),
    "wrong password": ({"password": "wrong"}, (400, "invalid_grant", 50126)),
    "no scope": ({"scope": None}, (400, "invalid_request", 900144)),
    "unknown scope": ({"scope": "User.Raed"}, (400, "invalid_scope", 650053)),
    "two resources": (
        {"scope": "User.Read https://vault.azure.net/user_impersonation"},
        (400, "invalid_request", 28000),
    ),
    "scope nobody consented to": ({"scope": "Files.Read"}, (400, "invalid_grant", 65001)),
    "public client with a secret": ({"client_secret": "s"}, (401, "invalid_client", 700025)),
    "parameter of another grant": ({"code": "1.a"}, (400, "invalid_request", 9002313)),
}

# What is set on the user → what is answered, and the suberror.
STATES: dict[str, tuple[ErrorSummary, str | None]] = {
    "locked": ((400, "invalid_grant", 50053), None),
    "disabled": ((400, "invalid_grant", 50057), None),
    "password_expired": ((400, "invalid_grant", 50055), None),
    "mfa_required": ((400, "invalid_grant", 50076), "basic_action"),
    "mfa_unregistered": ((400, "invalid_grant", 50079), "basic_action"),
    "blocked_by_policy": ((400, "invalid_grant", 53003), None),
}


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession) -> RelyingParty:
    """Return the ready public client."""
    return RelyingParty(emulator, http, emulator.public_app)


async def test_password_brings_tokens(party: RelyingParty, emulator: Emulator) -> None:
    """The right password brings an access, a refresh and an ID token, through organizations and the tenant itself."""
    for tenant in ("organizations", emulator.tenant_id, emulator.domain):
        party.tenant = tenant
        body = await party.tokens(party.password_form(username="ADA@Contoso.com"))
        assert {"access_token", "refresh_token", "id_token"} <= body.keys()
    body = await party.tokens(party.password_form(scope="User.Read"))
    assert not {"refresh_token", "id_token"} & body.keys()
    form = party.password_form(scope=None, resource="https://management.azure.com")
    assert (await party.tokens(form, path="oauth2/token"))["resource"] == "https://management.azure.com"


@pytest.mark.parametrize("case", FORMS)
async def test_bad_form_is_refused(party: RelyingParty, case: str) -> None:
    """A request that is wrong in one respect is refused for just that."""
    changes, expected = FORMS[case]
    assert await party.error(party.password_form(**changes)) == expected


@pytest.mark.parametrize("state", STATES)
async def test_state_of_the_user_is_refused(party: RelyingParty, emulator: Emulator, state: str) -> None:
    """What keeps a user out is answered with its code; what a page would settle comes with claims for it."""
    setattr(emulator.user, state, True)
    expected, suberror = STATES[state]
    status, body = await party.post(party.password_form())
    assert (status, body["error"], body["error_codes"][0]) == expected
    assert body.get("suberror") == suberror
    if suberror is None:
        assert "claims" not in body
    else:
        assert json.loads(body["claims"])["access_token"]["capolids"]["essential"] is True


@pytest.mark.parametrize("tenant", ["common", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"])
async def test_alias_for_personal_accounts_is_refused(party: RelyingParty, tenant: str) -> None:
    """Only work accounts have a password that can be sent, so common and consumers are refused."""
    party.tenant = tenant
    assert await party.error(party.password_form()) == (400, "invalid_request", 9001023)


async def test_password_with_blanks_around_it_is_refused(party: RelyingParty, emulator: Emulator) -> None:
    """A password that begins or ends with a blank can't be used here, even if it is the right one."""
    emulator.user.password = " secret "
    assert await party.error(party.password_form()) == (400, "invalid_grant", 50126)


async def test_wrong_passwords_lock_out(party: RelyingParty, emulator: Emulator) -> None:
    """After ten wrong passwords even the right one is refused for a minute."""
    for _ in range(10):
        assert (await party.error(party.password_form(password="wrong")))[2] == 50126
    assert await party.error(party.password_form()) == (400, "invalid_grant", 50053)
    emulator.clock.move(60)
    assert await party.tokens(party.password_form())


async def test_confidential_app_proves_itself_first(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """An app with a secret must send it; without consent it gets nothing, and is told that consent is missing."""
    app = emulator.register_app(delegated=["User.Read"])
    party = RelyingParty(emulator, http, app)
    assert await party.error(party.password_form()) == (401, "invalid_client", 7000218)
    form = party.password_form(client_secret=app.secret)
    status, body = await party.post(form)
    assert (status, body["error_codes"], body["suberror"]) == (400, [65001], "consent_required")
    app.grant(emulator.user.id, app.delegated | {("", name) for name in ("openid", "profile", "offline_access")})
    assert await party.tokens(form)


async def test_realm_of_a_domain(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The tenant's domain is managed, whether the user exists or not; any other is unknown."""
    root = f"{emulator.authority}/common/userrealm"
    for user, kind in (("ada@contoso.com", "Managed"), ("x@CONTOSO.com", "Managed"), ("x@else.com", "Unknown")):
        async with http.get(f"{root}/{user}?api-version=1.0") as response:
            assert (response.status, (await response.json())["account_type"]) == (200, kind)
    async with http.get(f"{root}/ada@contoso.com") as response:
        assert (response.status, (await response.json())["error_codes"]) == (400, [900144])


async def test_msal_signs_in_with_a_password(emulator: Emulator) -> None:
    """Unmodified MSAL requests the realm and signs in; a wrong password comes back as Entra ID's error."""

    class Client(requests.Session):
        """MSAL requests the realm at the authority's host without its port: send it where the port is."""

        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            request.url = str(request.url).replace("https://localhost/", f"{emulator.authority}/")
            return super().send(request, **kwargs)

    def sign_in(password: str) -> dict[str, Any]:
        with Client() as client, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # MSAL's own, about this flow
            client.trust_env, client.verify = False, str(emulator.ca_file)
            app = msal.PublicClientApplication(
                emulator.public_app.client_id,
                authority=f"{emulator.authority}/organizations",
                instance_discovery=False,
                http_client=client,
            )
            body: dict[str, Any] = app.acquire_token_by_username_password("ada@contoso.com", password, ["User.Read"])
            return body

    body = await anyio.to_thread.run_sync(sign_in, emulator.user.password)
    assert body["id_token_claims"]["oid"] == emulator.user.id
    assert emulator.requests.count(path="/common/userrealm/ada@contoso.com") == 1
    assert (await anyio.to_thread.run_sync(sign_in, "wrong"))["error_codes"] == [50126]
