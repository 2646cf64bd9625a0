"""Refresh tokens: one sign-in of a user serves every service, without interaction until Entra ID requires it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from entra_async import RetryPolicy, Session
from entra_async.cli.stall import StallMeter
from entra_async.credentials.browser import Browser
from entra_async.credentials.device_code import DeviceCode
from entra_async.credentials.refresh_token import RefreshToken
from entra_async.credentials.username_password import UsernamePassword
from entra_async.errors import AuthenticationError, ConfigurationError, InteractionRequiredError
from entra_async.testing import Emulator
from tests.support.people import browser, sign_ins

CLIENT = "11111111-1111-1111-1111-111111111111"
DAY_S = 86_400


async def get_refresh_token(emulator: Emulator) -> RefreshToken:
    """Return the refresh token of a user's sign-in in another Session."""
    async with emulator.session() as session:
        return RefreshToken.of(await session.connect(browser(emulator)))


def must_not_open(link: str) -> None:
    message = "asked the person"
    raise AssertionError(message)


def grants(emulator: Emulator) -> list[str]:
    return [request.form["grant_type"] for request in emulator.token_requests]


async def test_sign_in_with_a_text(emulator: Emulator) -> None:
    """A refresh token from elsewhere is all it takes, for every service that its user may use."""
    held = await get_refresh_token(emulator)
    provider = RefreshToken(client_id=held.client_id, tenant_id=emulator.tenant_id, refresh_token=held.refresh_token)
    async with emulator.session() as session:
        await session.connect(provider, service=["Graph", "Azure"])
        me = await session.invoke("me")

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert grants(emulator) == ["authorization_code", "refresh_token", "refresh_token"]


async def test_the_newest_one_is_used(emulator: Emulator) -> None:
    """Each response's refresh token replaces the one before, so that regular use keeps the sign-in alive for ever."""
    provider = await get_refresh_token(emulator)
    async with emulator.session() as session:
        connection = await session.connect(provider)
        for _ in range(4):
            emulator.clock.move(60 * DAY_S)
            await connection.get_token()

    assert grants(emulator).count("refresh_token") == 5


async def test_one_that_was_not_used_for_too_long(emulator: Emulator) -> None:
    """After 90 days without use the user has to sign in, and the error says so."""
    provider = await get_refresh_token(emulator)
    emulator.clock.move(91 * DAY_S)
    async with emulator.session() as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(provider)

    assert caught.value.code == "AADSTS700082"
    assert caught.value.hint


def revoked(emulator: Emulator, held: RefreshToken) -> RefreshToken:
    emulator.revoke_sessions(emulator.user)
    return held


def new_password(emulator: Emulator, held: RefreshToken) -> RefreshToken:
    emulator.user.password = "an0ther-password"
    return held


def disabled(emulator: Emulator, held: RefreshToken) -> RefreshToken:
    emulator.user.disabled = True
    return held


def another_client(emulator: Emulator, held: RefreshToken) -> RefreshToken:
    return replace(held, client_id=emulator.register_app(public_client=True, delegated=["User.Read"]).client_id)


REFUSALS: dict[str, tuple[Callable[[Emulator, RefreshToken], RefreshToken], str, type[AuthenticationError]]] = {
    "revoked": (revoked, "AADSTS50173", InteractionRequiredError),
    "new password": (new_password, "AADSTS50173", InteractionRequiredError),
    "disabled": (disabled, "AADSTS50057", AuthenticationError),
    "made up": (lambda _, held: replace(held, refresh_token="1.x"), "AADSTS70000", InteractionRequiredError),
    "another client's": (another_client, "AADSTS70000", InteractionRequiredError),
    "unknown client": (lambda _, held: replace(held, client_id=CLIENT), "AADSTS700016", AuthenticationError),
    "unknown tenant": (lambda _, held: replace(held, tenant_id=CLIENT), "AADSTS90002", AuthenticationError),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_is_explained(case: str, emulator: Emulator) -> None:
    """Each reason has its code, its class and a remedy; the refresh token was sent once and shows nowhere."""
    build, code, kind = REFUSALS[case]
    provider = build(emulator, await get_refresh_token(emulator))
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(provider)

    assert caught.value.code == code
    assert type(caught.value) is kind
    assert caught.value.hint
    assert grants(emulator).count("refresh_token") == 1
    assert provider.refresh_token not in f"{caught.value!r}{caught.value}{vars(caught.value)}{provider!r}"


async def test_claims_reach_the_token_service(emulator: Emulator) -> None:
    """A service's claims challenge is part of the token request, together with the client's capabilities."""
    async with emulator.session() as session:
        connection = await session.connect(await get_refresh_token(emulator))
        await connection.get_token(claims='{"access_token":{"nbf":{"essential":true,"value":"1"}}}', enable_cae=True)
        with pytest.raises(ConfigurationError) as caught:
            await connection.get_token(claims="[]")
    claims = emulator.token_requests[-1].form["claims"]

    assert '"nbf"' in claims
    assert '"xms_cc": {"values": ["CP1"]}' in claims
    assert caught.value.field == "claims"


async def test_a_revoked_session_requires_a_new_sign_in(emulator: Emulator) -> None:
    """When the refresh token is refused, the browser opens again, and once for all services."""
    async with emulator.session() as session:
        graph, azure = await session.connect(browser(emulator), service=["Graph", "Azure"])
        emulator.revoke_sessions(emulator.user)
        emulator.clock.move(29 * 3600)
        async with anyio.create_task_group() as group:
            group.start_soon(graph.get_token)
            group.start_soon(azure.get_token)

    assert sign_ins(emulator) == 2


async def test_a_policy_requires_a_new_sign_in(emulator: Emulator) -> None:
    """When conditional access wants more than the refresh token has, the browser opens with its claims."""
    links: list[str] = []

    async def opener(link: str) -> None:
        links.append(link)
        await emulator.browser.sign_in(link)

    claims = '{"access_token":{"capolids":{"essential":true,"values":["1"]}}}'
    refusal = {"error": "interaction_required", "error_description": "AADSTS50076: MFA", "claims": claims}
    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=opener))
        emulator.faults.add("/*/oauth2/v2.0/token", status=400, body=refusal)
        await session.connect(browser(emulator, opener=opener), service="Azure")

    assert "capolids" not in links[0]
    assert "capolids" in links[1]


async def test_a_transient_fault_requires_no_new_sign_in(emulator: Emulator) -> None:
    """A token service that is down is no reason to open a browser."""
    async with emulator.session(retry=RetryPolicy(base_delay_s=0.001)) as session:
        connection = await session.connect(browser(emulator))
        emulator.clock.move(29 * 3600)
        emulator.faults.add("/*/oauth2/v2.0/token", status=400, body={"error": "temporarily_unavailable"}, times=None)
        with pytest.raises(AuthenticationError):
            await connection.get_token()

    assert sign_ins(emulator) == 1


async def test_a_refresh_token_can_be_reused(emulator: Emulator) -> None:
    """use_refresh_token takes that of another connection for the same client and tenant, without interaction."""
    values: dict[str, Any] = {"client_id": emulator.public_app.client_id, "tenant_id": emulator.tenant_id}
    async with emulator.session() as session:
        await session.connect(browser(emulator))
        await session.connect(Browser(**values, opener=must_not_open, use_refresh_token=True), service="Azure")
        await session.connect(DeviceCode(**values, prompt=must_not_open, use_refresh_token=True), service="Endpoint")  # type: ignore[arg-type] # it is not called
        with pytest.raises(AuthenticationError, match="asked the person"):
            await session.connect(Browser(**values, opener=must_not_open), service="AzureKeyVault")

    assert sign_ins(emulator) == 1


async def test_a_refresh_token_goes_with_its_connection(emulator: Emulator) -> None:
    """After the connection is gone, so is its refresh token: use_refresh_token opens a browser then."""
    async with emulator.session() as session:
        await session.connect(browser(emulator))
        await session.disconnect()
        await session.connect(browser(emulator, use_refresh_token=True))

    assert sign_ins(emulator) == 2


async def test_a_dead_one_is_not_reused(emulator: Emulator) -> None:
    """use_refresh_token opens a browser after all when Entra ID refuses the refresh token."""
    async with emulator.session() as session:
        await session.connect(browser(emulator))
        emulator.revoke_sessions(emulator.user)
        await session.connect(browser(emulator, use_refresh_token=True), service="Azure")

    assert sign_ins(emulator) == 2


async def test_of_a_connection_without_one(emulator: Emulator) -> None:
    """A connection that no user signed in to, and one that is closed, have no refresh token."""
    async with emulator.session() as session:
        app = await session.connect(emulator.client_secret)
        person = await session.connect(browser(emulator), service="Azure")
        with pytest.raises(ConfigurationError, match="holds no refresh token"):
            RefreshToken.of(app)
    with pytest.raises(ConfigurationError, match="holds no refresh token"):
        RefreshToken.of(person)


async def test_of_a_password(emulator: Emulator) -> None:
    """A connection that signed in with a password can hand over its refresh token, so that the password can go."""
    password = UsernamePassword(
        client_id=emulator.public_app.client_id,
        tenant_id=emulator.tenant_id,
        username=emulator.user.user_principal_name,
        password=emulator.user.password,
    )
    async with emulator.session() as session:
        held = RefreshToken.of(await session.connect(password), scopes=["User.Read"])
    async with emulator.session() as session:
        await session.connect(held)

    assert held.scopes == ("User.Read",)
    assert grants(emulator) == ["password", "refresh_token"]


async def test_cancelling_and_the_loop(emulator: Emulator) -> None:
    """A redemption never keeps the loop from its work, and a cancelled one takes its request with it."""
    meter = StallMeter()
    provider = await get_refresh_token(emulator)
    async with emulator.session() as session, anyio.create_task_group() as group:
        group.start_soon(meter.run)
        await session.connect(provider)
        emulator.faults.add("/*/oauth2/v2.0/token", times=None, delay_s=3600)
        seen = len(emulator.requests)
        group.start_soon(_connect, session, provider)
        await emulator.requests.wait_for(seen + 1)
        group.cancel_scope.cancel()

    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


async def _connect(session: Session, provider: RefreshToken) -> None:
    await session.connect(provider, service="Azure")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_id": "x"}, "client_id"),
        ({"tenant_id": ""}, "tenant_id"),
        ({"refresh_token": " "}, "refresh_token"),
        ({"scopes": "User.Read"}, "scopes"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_at_once(changes: dict[str, Any], field: str) -> None:
    """Each malformed value is an error that names the field."""
    with pytest.raises(ConfigurationError) as caught:
        RefreshToken(**{"client_id": CLIENT, "tenant_id": "organizations", "refresh_token": "1.canary", **changes})

    assert caught.value.field == field
    assert "canary" not in str(caught.value)


def test_a_provider_is_a_value() -> None:
    """A provider can be pickled and does not show the refresh token."""
    provider = RefreshToken(client_id=CLIENT, tenant_id="organizations", refresh_token="1.canary")

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert "canary" not in repr(provider)
