"""On behalf of a caller: each caller's token is exchanged for one of their own, and a policy's claims come back."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest

from entra_async import Certificate
from entra_async.cli.stall import StallMeter
from entra_async.credentials.on_behalf_of import OnBehalfOf
from entra_async.credentials.username_password import UsernamePassword
from entra_async.errors import AuthenticationError, ConfigurationError, ConsentRequiredError, InteractionRequiredError
from entra_async.testing import Emulator
from entra_async.testing.entra.accounts import User
from entra_async.testing.entra.app_registrations import App

CLIENT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def api(emulator: Emulator) -> App:
    """Return a web backend that may read its callers' profiles and reach Azure as them."""
    return emulator.register_app(
        exposes=["access_as_user"],
        delegated=["User.Read", "https://management.azure.com/user_impersonation"],
        admin_consent=True,
    )


async def call(emulator: Emulator, api: App, user: User | None = None) -> str:
    """Return the access token that a user's app calls the backend with."""
    person = user or emulator.user
    scope = f"{api.identifier_uri}/access_as_user"
    client = emulator.register_app(public_client=True, delegated=[scope], admin_consent=True)
    provider = UsernamePassword(
        client_id=client.client_id,
        tenant_id=emulator.tenant_id,
        username=person.user_principal_name,
        password=person.password,
    )
    async with emulator.session() as session:
        connection = await session.connect(provider, resource=api.identifier_uri)
        return (await connection.get_token()).token


def behalf(emulator: Emulator, api: App, assertion: str, **changes: Any) -> OnBehalfOf:
    values: dict[str, Any] = {
        "client_id": api.client_id,
        "tenant_id": emulator.tenant_id,
        "user_assertion": assertion,
    }
    if "certificate" not in changes:
        values["client_secret"] = api.secret
    return OnBehalfOf(**{**values, **changes})


async def test_the_caller_is_who_calls(emulator: Emulator, api: App) -> None:
    """The downstream service sees the caller, and the token is the backend's."""
    provider = behalf(emulator, api, await call(emulator, api))
    async with emulator.session() as session:
        connection = await session.connect(provider)
        me = await session.invoke("me")
        token = await connection.get_token()

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert token.client_id == api.client_id


async def test_with_a_certificate(emulator: Emulator) -> None:
    """A backend can prove itself with a certificate instead of a secret."""
    app = emulator.certificate_app
    exposing = emulator.register_app(exposes=["access_as_user"], delegated=["User.Read"], admin_consent=True)
    app.exposes, app.delegated, app.admin_consent = exposing.exposes, exposing.delegated, exposing.admin_consent
    provider = behalf(emulator, app, await call(emulator, app), certificate=emulator.certificate)
    async with emulator.session() as session:
        await session.connect(provider)
        me = await session.invoke("me")

    assert me["userPrincipalName"] == emulator.user.user_principal_name


async def test_each_caller_has_tokens_of_their_own(emulator: Emulator, api: App) -> None:
    """Many callers at once: each gets what is theirs, one exchange for each, however many calls they make."""
    users = [emulator.add_user(f"caller{number}") for number in range(5)]
    assertions = [await call(emulator, api, user) for user in users]
    before = len(emulator.token_requests)
    names: dict[int, str] = {}

    async with emulator.session() as session:

        async def serve(number: int) -> None:
            provider = behalf(emulator, api, assertions[number])
            connection = await session.connect(provider, name=f"caller {number}")
            for _ in range(3):
                names[number] = (await connection.invoke("me"))["userPrincipalName"]

        async with anyio.create_task_group() as group:
            for number in range(len(users)):
                group.start_soon(serve, number)

    assert names == {number: user.user_principal_name for number, user in enumerate(users)}
    assert len(emulator.token_requests) - before == len(users)


async def test_one_caller_and_several_services(emulator: Emulator, api: App) -> None:
    """The caller's token is exchanged once; the refresh token that it brings serves the rest, also when it is over."""
    provider = behalf(emulator, api, await call(emulator, api))
    before = len(emulator.token_requests)
    async with emulator.session() as session:
        graph, _ = await session.connect(provider, service=["Graph", "Azure"])
        emulator.clock.move(29 * 3600)
        await graph.get_token()
    grants = [request.form["grant_type"].rpartition(":")[2] for request in emulator.token_requests[before:]]

    assert grants == ["jwt-bearer", "refresh_token", "refresh_token"]


async def test_no_other_connection_gets_its_refresh_token(emulator: Emulator, api: App) -> None:
    """A caller's refresh token is not shared: neither with use_refresh_token nor with another Session."""
    from entra_async.credentials.browser import Browser
    from entra_async.credentials.refresh_token import RefreshToken

    def opener(link: str) -> None:
        message = "asked the person"
        raise AssertionError(message)

    provider = behalf(emulator, api, await call(emulator, api))
    values: dict[str, Any] = {"client_id": api.client_id, "tenant_id": emulator.tenant_id}
    async with emulator.session() as session:
        connection = await session.connect(provider)
        with pytest.raises(ConfigurationError):
            RefreshToken.of(connection)
        with pytest.raises(AuthenticationError, match="asked the person"):
            await session.connect(Browser(**values, opener=opener, use_refresh_token=True), service="Azure")


async def test_claims_of_a_policy_come_back(emulator: Emulator, api: App) -> None:
    """The claims that conditional access requires are in the error, for the backend's own 401."""
    assertion = await call(emulator, api)
    emulator.user.mfa_required = True
    before = len(emulator.token_requests)
    async with emulator.session() as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(behalf(emulator, api, assertion))

    assert caught.value.code == "AADSTS50076"
    assert "capolids" in json.loads(caught.value.claims or "")["access_token"]
    assert len(emulator.token_requests) - before == 1


async def expired(emulator: Emulator, api: App) -> OnBehalfOf:
    assertion = await call(emulator, api)
    emulator.clock.move(29 * 3600)
    return behalf(emulator, api, assertion)


async def made_for_another(emulator: Emulator, api: App) -> OnBehalfOf:
    other = emulator.register_app(exposes=["access_as_user"])
    return behalf(emulator, api, await call(emulator, other))


async def of_an_application(emulator: Emulator, api: App) -> OnBehalfOf:
    async with emulator.session() as session:
        connection = await session.connect(emulator.client_secret, resource=api.identifier_uri)
        return behalf(emulator, api, (await connection.get_token()).token)


async def forged(emulator: Emulator, api: App) -> OnBehalfOf:
    token = await call(emulator, api)
    return behalf(emulator, api, f"{token[:-20]}{'B' if token[-20] == 'A' else 'A'}{token[-19:]}")


async def wrong_secret(emulator: Emulator, api: App) -> OnBehalfOf:
    return behalf(emulator, api, await call(emulator, api), client_secret="wrong")


async def without_consent(emulator: Emulator, api: App) -> OnBehalfOf:
    other = emulator.register_app(exposes=["access_as_user"], delegated=["User.Read"])
    return behalf(emulator, other, await call(emulator, other))


REFUSALS: dict[str, tuple[Callable[[Emulator, App], Any], str, type[AuthenticationError]]] = {
    "expired": (expired, "AADSTS500133", AuthenticationError),
    "made for another": (made_for_another, "AADSTS500131", AuthenticationError),
    "of an application": (of_an_application, "AADSTS7000114", AuthenticationError),
    "forged": (forged, "AADSTS50013", AuthenticationError),
    "wrong secret": (wrong_secret, "AADSTS7000215", AuthenticationError),
    "without consent": (without_consent, "AADSTS65001", ConsentRequiredError),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_is_explained(case: str, emulator: Emulator, api: App) -> None:
    """Each reason has its code, its class and a remedy, and the caller's token shows nowhere."""
    build, code, kind = REFUSALS[case]
    provider = await build(emulator, api)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(provider)

    assert caught.value.code == code
    assert isinstance(caught.value, kind)
    assert caught.value.hint
    assert provider.user_assertion not in f"{caught.value!r}{caught.value}{vars(caught.value)}{provider!r}"


async def test_no_token_shows(emulator: Emulator, api: App, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, neither the caller's token, nor the secret, nor the new token is written anywhere."""
    caplog.set_level(logging.DEBUG)
    provider = behalf(emulator, api, await call(emulator, api))
    async with emulator.session() as session:
        connection = await session.connect(provider)
        token = (await connection.get_token()).token
        shown = f"{provider!r}{connection!r}{connection.account!r}{connection.account.source!r}{session!r}"
    shown += "".join(record.getMessage() + str(record.exc_text) for record in caplog.records)

    assert not [secret for secret in (provider.user_assertion, api.secret, token) if secret in shown]


async def test_cancelling_and_the_loop(emulator: Emulator, api: App) -> None:
    """An exchange never keeps the loop from its work, and a cancelled one takes its request with it."""
    meter = StallMeter()
    provider = behalf(emulator, api, await call(emulator, api))
    async with emulator.session() as session, anyio.create_task_group() as group:
        group.start_soon(meter.run)
        await session.connect(provider)
        emulator.faults.add("/*/oauth2/v2.0/token", times=None, delay_s=3600)
        seen = len(emulator.requests)
        group.start_soon(partial(session.connect, replace(provider, scopes=("User.Read",)), service="Azure"))
        await emulator.requests.wait_for(seen + 1)
        group.cancel_scope.cancel()

    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


CERTIFICATE = Certificate(client_id=CLIENT, tenant_id="contoso.com", path="app.pfx")
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "client id": ({"client_id": "x"}, "client_id"),
    "alias": ({"tenant_id": "organizations"}, "tenant_id"),
    "no assertion": ({"user_assertion": ""}, "user_assertion"),
    "a whole header": ({"user_assertion": "Bearer canary.b.c"}, "user_assertion"),
    "no credential": ({"client_secret": None}, "client_secret"),
    "two credentials": ({"certificate": CERTIFICATE}, "client_secret"),
    "empty secret": ({"client_secret": ""}, "client_secret"),
    "no certificate": ({"client_secret": None, "certificate": "app.pfx"}, "certificate"),
    "another's certificate": (
        {"client_secret": None, "certificate": replace(CERTIFICATE, client_id="2" + CLIENT[1:])},
        "certificate",
    ),
    "one scope": ({"scopes": "User.Read"}, "scopes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_refused_at_once(case: str) -> None:
    """Each malformed value, and each mix that contradicts itself, is an error that names the field."""
    changes, field = WRONG[case]
    values = {
        "client_id": CLIENT,
        "tenant_id": "contoso.com",
        "user_assertion": "canary.b.c",
        "client_secret": "canary",
    }
    with pytest.raises(ConfigurationError) as caught:
        OnBehalfOf(**{**values, **changes})

    assert caught.value.field == field
    assert "canary" not in str(caught.value)


def test_a_provider_is_a_value() -> None:
    """A provider can be pickled, and shows neither the caller's token nor the secret."""
    provider = OnBehalfOf(
        client_id=CLIENT, tenant_id="contoso.com", user_assertion="canary.b.c", client_secret="canary"
    )

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert "canary" not in repr(provider)
