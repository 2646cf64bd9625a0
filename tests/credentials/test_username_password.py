"""Signing in with a password: what Entra ID refuses is explained, and the password shows nowhere."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from entra_async.cli.stall import StallMeter
from entra_async.credentials.username_password import UsernamePassword
from entra_async.errors import AuthenticationError, ConfigurationError, ConsentRequiredError, InteractionRequiredError
from entra_async.testing import Emulator

CLIENT = "11111111-1111-1111-1111-111111111111"


def person(emulator: Emulator, **changes: Any) -> UsernamePassword:
    values = {
        "client_id": emulator.public_app.client_id,
        "tenant_id": emulator.tenant_id,
        "username": emulator.user.user_principal_name,
        "password": emulator.user.password,
    }
    return UsernamePassword(**{**values, **changes})


async def test_sign_in(emulator: Emulator) -> None:
    """The user's own token, without a warning that is meant for us and not for our users."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with emulator.session() as session:
            await session.connect(person(emulator))
            me = await session.invoke("me")

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert not [warning for warning in caught if issubclass(warning.category, DeprecationWarning)]


async def test_the_password_is_sent_once(emulator: Emulator) -> None:
    """Further services and renewals go by the refresh token."""
    async with emulator.session() as session:
        graph, _ = await session.connect(person(emulator), service=["Graph", "Azure"])
        emulator.clock.move(29 * 3600)
        await graph.get_token()
    grants = [request.form["grant_type"] for request in emulator.token_requests]

    assert grants == ["password", "refresh_token", "refresh_token"]


async def test_a_revoked_session_signs_in_again(emulator: Emulator) -> None:
    """When the refresh token is refused, the password is tried once more."""
    async with emulator.session() as session:
        graph = await session.connect(person(emulator))
        emulator.revoke_sessions(emulator.user)
        emulator.clock.move(29 * 3600)
        await graph.get_token()

    assert [request.form["grant_type"] for request in emulator.token_requests].count("password") == 2


def locked(emulator: Emulator) -> UsernamePassword:
    emulator.user.locked = True
    return person(emulator)


def disabled(emulator: Emulator) -> UsernamePassword:
    emulator.user.disabled = True
    return person(emulator)


def expired(emulator: Emulator) -> UsernamePassword:
    emulator.user.password_expired = True
    return person(emulator)


def mfa(emulator: Emulator) -> UsernamePassword:
    emulator.user.mfa_required = True
    return person(emulator)


def mfa_unregistered(emulator: Emulator) -> UsernamePassword:
    emulator.user.mfa_unregistered = True
    return person(emulator)


def blocked(emulator: Emulator) -> UsernamePassword:
    emulator.user.blocked_by_policy = True
    return person(emulator)


def not_consented(emulator: Emulator) -> UsernamePassword:
    app = emulator.register_app(public_client=True, delegated=["User.Read"])
    return person(emulator, client_id=app.client_id)


REFUSALS: dict[str, tuple[Callable[[Emulator], UsernamePassword], str, type[AuthenticationError]]] = {
    "unknown user": (lambda e: person(e, username=f"nobody@{e.domain}"), "AADSTS50034", AuthenticationError),
    "wrong password": (lambda e: person(e, password="wrong"), "AADSTS50126", AuthenticationError),
    "locked": (locked, "AADSTS50053", AuthenticationError),
    "disabled": (disabled, "AADSTS50057", AuthenticationError),
    "expired password": (expired, "AADSTS50055", AuthenticationError),
    "second factor": (mfa, "AADSTS50076", InteractionRequiredError),
    "second factor to register": (mfa_unregistered, "AADSTS50079", InteractionRequiredError),
    "conditional access": (blocked, "AADSTS53003", AuthenticationError),
    "no consent": (not_consented, "AADSTS65001", ConsentRequiredError),
    "unknown application": (lambda e: person(e, client_id=CLIENT), "AADSTS700016", AuthenticationError),
    "unknown tenant": (lambda e: person(e, tenant_id=CLIENT), "AADSTS90002", AuthenticationError),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_is_explained(case: str, emulator: Emulator) -> None:
    """Each reason not to let the user in has its code, its class and a remedy; the password was sent once."""
    build, code, kind = REFUSALS[case]
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(build(emulator))

    assert caught.value.code == code
    assert type(caught.value) is kind
    assert caught.value.hint
    assert len(emulator.token_requests) <= 1


async def test_claims_of_a_policy_are_handed_on(emulator: Emulator) -> None:
    """The claims that conditional access requires are in the error, so that a browser can request them."""
    claims = '{"access_token":{"capolids":{"essential":true,"values":["1"]}}}'
    refusal = {
        "error": "interaction_required",
        "error_description": "AADSTS50079: enroll",
        "suberror": "basic_action",
        "claims": claims,
    }
    emulator.faults.add("/*/oauth2/v2.0/token", status=400, body=refusal)
    async with emulator.session() as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(person(emulator))

    assert caught.value.claims == claims


async def test_a_federated_user_is_not_signed_in_elsewhere(emulator: Emulator) -> None:
    """The password goes to no other server, whatever a response says; the error says why."""
    realm = {
        "account_type": "Federated",
        "federation_metadata_url": "https://sts.fabrikam.example/mex",
        "federation_active_auth_url": "https://sts.fabrikam.example/trust",
    }
    emulator.faults.add("/common/userrealm/*", status=200, body=realm)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="federated") as caught:
            await session.connect(person(emulator))

    assert "sts.fabrikam.example" in str(caught.value)
    assert not emulator.token_requests


async def test_the_password_shows_nowhere(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, nor error, nor any log at DEBUG holds the password."""
    caplog.set_level(logging.DEBUG)
    emulator.user.password = "canary-5ecret-value"
    right, wrong = person(emulator), person(emulator, password="canary-wr0ng-value")
    async with emulator.session() as session:
        connection = await session.connect(right)
        shown = repr(right) + repr(connection) + repr(connection.account) + repr(connection.account.source)
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(wrong)
    shown += str(caught.value) + repr(vars(caught.value)) + repr(wrong)
    shown += "".join(record.getMessage() for record in caplog.records)

    assert "canary" not in shown


async def test_the_loop_runs_on(emulator: Emulator) -> None:
    """Signing in never keeps the loop from its work."""
    meter = StallMeter()
    async with emulator.session() as session:
        await session.connect(emulator.client_secret, service="Azure")
        async with anyio.create_task_group() as group:
            group.start_soon(meter.run)
            await session.connect(person(emulator))
            group.cancel_scope.cancel()

    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


async def test_cancelling(emulator: Emulator) -> None:
    """A sign-in that is cancelled takes its request with it."""
    emulator.faults.add("/*/oauth2/v2.0/token", delay_s=3600)
    async with emulator.session() as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(session.connect, person(emulator))
                await emulator.requests.wait_for(1, path=f"/{emulator.tenant_id}/oauth2/v2.0/token")
                group.cancel_scope.cancel()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no user": ({"username": ""}, "username"),
    "a path": ({"username": "../ada@contoso.com"}, "username"),
    "a query": ({"username": "ada?x@contoso.com"}, "username"),
    "a blank": ({"username": "ada @contoso.com"}, "username"),
    "no password": ({"password": ""}, "password"),
    "blank at its end": ({"password": "s3cret "}, "password"),
    "common": ({"tenant_id": "common"}, "tenant_id"),
    "consumers": ({"tenant_id": "consumers"}, "tenant_id"),
    "one scope": ({"scopes": "User.Read"}, "scopes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_refused_at_once(case: str) -> None:
    """Each malformed value is an error that names the field and never repeats the password."""
    changes, field = WRONG[case]
    values: dict[str, Any] = {"tenant_id": "contoso.com", "username": "ada@contoso.com", "password": "s3cret"}
    with pytest.raises(ConfigurationError) as caught:
        UsernamePassword(**{"client_id": CLIENT, **values, **changes})

    assert caught.value.field == field
    assert "s3cret" not in str(caught.value)


def test_a_provider_is_a_value() -> None:
    """A provider can be pickled and does not show the password."""
    provider = UsernamePassword(
        client_id=CLIENT, tenant_id="organizations", username="ada@contoso.com", password="s3cret"
    )

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert "s3cret" not in repr(provider)
