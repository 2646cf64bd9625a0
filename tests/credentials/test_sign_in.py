"""Signing in: every refusal says which, why and what to do; every failure on the way is typed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from entra_async import Certificate, ClientSecret, Limits, Session
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.testing import Emulator
from entra_async.testing.entra.app_registrations import App
from tests.support.virtual_clock import VirtualClock

GRANT = {"token_type": "Bearer", "expires_in": 3599, "access_token": "a.b.c"}
STRANGER = "22222222-2222-2222-2222-222222222222"


def secret(emulator: Emulator, **changes: Any) -> ClientSecret:
    values = {
        "client_id": emulator.app.client_id,
        "tenant_id": emulator.tenant_id,
        "client_secret": emulator.app.secret,
    }
    return ClientSecret(**{**values, **changes})


def expired(emulator: Emulator) -> ClientSecret:
    app = emulator.register_app(secret="s3cret", secret_expires_on=emulator.clock.now() - 1)
    return secret(emulator, client_id=app.client_id, client_secret="s3cret")


def disabled(emulator: Emulator) -> ClientSecret:
    app = emulator.register_app(disabled=True)
    return secret(emulator, client_id=app.client_id, client_secret=app.secret)


def unregistered(emulator: Emulator) -> Certificate:
    emulator.certificate_app.certificates.clear()
    return emulator.certificate


async def connect_all(session: Session, emulator: Emulator, apps: list[App]) -> None:
    async def connect(app: App) -> None:
        await session.connect(secret(emulator, client_id=app.client_id, client_secret=app.secret), name=app.client_id)

    async with anyio.create_task_group() as group:
        for app in apps:
            group.start_soon(connect, app)


REFUSALS: dict[str, tuple[Callable[[Emulator], Any], str, str]] = {
    "wrong secret": (lambda e: secret(e, client_secret="wrong"), "AADSTS7000215", "invalid_client"),
    "expired secret": (expired, "AADSTS7000222", "invalid_client"),
    "unknown application": (lambda e: secret(e, client_id=STRANGER), "AADSTS700016", "unauthorized_client"),
    "unknown tenant": (lambda e: secret(e, tenant_id=STRANGER), "AADSTS90002", "invalid_request"),
    "unknown domain": (lambda e: secret(e, tenant_id="fabrikam.com"), "AADSTS90002", "invalid_request"),
    "disabled application": (disabled, "AADSTS7000112", "unauthorized_client"),
    "unregistered certificate": (unregistered, "AADSTS700027", "invalid_client"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_is_explained(case: str, emulator: Emulator) -> None:
    """The error holds Entra's code, the OAuth error, the ids for support, and a remedy."""
    build, code, error = REFUSALS[case]
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(build(emulator))
    refusal = caught.value

    assert (refusal.code, refusal.error) == (code, error)
    assert refusal.status in {400, 401}
    assert refusal.hint
    assert refusal.correlation_id
    assert refusal.trace_id
    assert refusal.attempts == 1
    assert code in str(refusal)
    assert len(emulator.token_requests) == 1


async def test_an_unknown_resource(emulator: Emulator) -> None:
    """A resource that the tenant does not have is a refusal with its code."""
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(emulator.client_secret, resource="https://nowhere.example")

    assert caught.value.code == "AADSTS500011"


async def test_a_refusal_is_asked_again_not_remembered(emulator: Emulator) -> None:
    """After a refusal the next attempt goes to Entra ID: failures are not cached."""
    app = emulator.register_app(disabled=True)
    provider = secret(emulator, client_id=app.client_id, client_secret=app.secret)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError):
            await session.connect(provider)
        app.disabled = False
        connection = await session.connect(provider)

    assert connection.name == "Graph"
    assert len(emulator.token_requests) == 2


async def test_one_users_throttling_is_not_anothers(emulator: Emulator) -> None:
    """A 429 for one application's token request does not delay another's."""
    emulator.faults.add("/*/oauth2/v2.0/token", throttle=3600)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(emulator.client_secret)
        await session.connect(emulator.certificate)
        await session.connect(emulator.client_secret)

    assert caught.value.status == 429
    assert len(emulator.token_requests) == 3


async def test_a_token_response_with_retry_after_is_not_replayed(emulator: Emulator) -> None:
    """A 200 that carries Retry-After is used once: the next token is a new one."""
    async with emulator.session() as session:
        connection = await session.connect(emulator.client_secret)
        first = await connection.get_token()
        emulator.clock.move(29 * 3600)
        second = await connection.get_token()

    assert first.token != second.token


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"throttle": 7},
        {"reset": "before"},
        {"reset": "after"},
        {"half_body": True},
        {"status": 400, "body": {"error": "temporarily_unavailable", "error_description": "AADSTS90033: later"}},
    ],
    ids=str,
)
async def test_a_passing_fault_of_the_token_service_is_waited_out(emulator: Emulator, fault: dict[str, Any]) -> None:
    """A transient failure is retried, within limits, and the sign-in succeeds."""
    clock = VirtualClock()
    emulator.faults.add("/*/oauth2/v2.0/token", times=2, **fault)
    async with emulator.session(clock=clock) as session:
        await session.connect(emulator.client_secret)

    assert len(emulator.token_requests) == 3
    assert len(clock.sleeps) == 2
    if "throttle" in fault:
        assert clock.sleeps == [7.0, 7.0]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"html": True}, "text/html instead of the JSON"),
        ({"empty": True}, "instead of the JSON"),
        ({"status": 404, "body": "<html>", "headers": {"Content-Type": "text/html"}}, "answered 404 with text/html"),
        ({"status": 503, "body": "<html>down"}, "instead of the JSON"),
        ({"reset": "before"}, "The token request failed"),
        ({"half_body": True}, "The token request failed"),
        ({"status": 200, "body": {"hello": "world"}}, "token"),
        ({"status": 200, "body": {"access_token": "x"}}, "no token, or does not say how long"),
        ({"status": 200, "body": "[1]"}, "instead of the JSON"),
        ({"status": 200, "body": b"[" * 200_000}, "instead of the JSON"),
        ({"status": 200, "body": {**GRANT, "expires_in": None}}, "token service"),
        ({"status": 200, "body": {**GRANT, "expires_in": []}}, "token service"),
        ({"status": 200, "body": {**GRANT, "expires_in": "soon"}}, "token service"),
        ({"status": 200, "body": {**GRANT, "refresh_in": "x"}}, "token service"),
        ({"status": 200, "body": {**GRANT, "scope": 5}}, "token service"),
        ({"status": 200, "body": {**GRANT, "access_token": "a\r\nX-Evil: 1"}}, "holds no token"),
        ({"status": 200, "body": {**GRANT, "token_type": "pop"}}, "no bearer token"),
        ({"status": 500, "body": {"error": "server_error"}}, "busy or failed"),
    ],
    ids=str,
)
async def test_nonsense_from_the_token_service_is_a_typed_error(
    emulator: Emulator, fault: dict[str, Any], text: str
) -> None:
    """A proxy's page, an empty response, half of one: an AuthenticationError says so; the pool works afterwards."""
    rule = emulator.faults.add("/*/oauth2/v2.0/token", times=None, **fault)
    async with emulator.session(clock=VirtualClock()) as session:
        with pytest.raises(AuthenticationError, match=text):
            await session.connect(emulator.client_secret)
        rule.times = 0
        await session.connect(emulator.client_secret)


async def test_cancelling_a_sign_in_cancels_its_request(emulator: Emulator) -> None:
    """A sign-in that is cancelled leaves no task, no thread at work and no request on the wire."""
    emulator.faults.add("/*/oauth2/v2.0/token", delay_s=3600)
    async with emulator.session() as session:
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(session.connect, emulator.client_secret)
                await emulator.requests.wait_for(1)
                group.cancel_scope.cancel()
        with anyio.fail_after(2):  # MSAL's thread hears of it in its own time
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()

    assert not scope.cancelled_caught


async def test_a_native_cancellation_does_too(emulator: Emulator) -> None:
    """asyncio's own timeout ends a sign-in as promptly as anyio's."""
    emulator.faults.add("/*/oauth2/v2.0/token", delay_s=3600)
    async with emulator.session() as session:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.connect(emulator.client_secret)

    assert time.monotonic() - started < 2


async def test_closing_the_session_ends_a_sign_in(emulator: Emulator) -> None:
    """Closing while Entra ID thinks ends the wait at once, with a clear error."""
    emulator.faults.add("/*/oauth2/v2.0/token", delay_s=3600)
    session = emulator.session()
    errors: list[Exception] = []

    async def connect() -> None:
        try:
            await session.connect(emulator.client_secret)
        except Exception as error:  # noqa: BLE001 - it is the error that is tested
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(connect)
        await emulator.requests.wait_for(1)
        await session.aclose()

    assert "closed" in str(errors[0])


async def test_sign_ins_go_on_at_once(emulator: Emulator) -> None:
    """Twenty sign-ins are all with Entra ID before the first is answered: MSAL's threads do not wait for each other."""
    emulator.faults.add("/*/oauth2/v2.0/token", times=None, delay_s=60)
    apps = [emulator.register_app() for _ in range(20)]
    async with emulator.session() as session, anyio.create_task_group() as group:
        group.start_soon(connect_all, session, emulator, apps)
        await emulator.requests.wait_for(20)
        emulator.clock.move(60)

    assert len(emulator.token_requests) == 20


async def test_more_sign_ins_than_places(emulator: Emulator) -> None:
    """More sign-ins at once than the pool has places wait for each other, and none is stuck."""
    apps = [emulator.register_app() for _ in range(12)]
    async with emulator.session(limits=Limits(connections=2)) as session:
        await connect_all(session, emulator, apps)
        assert len(session.connections) == 12


async def test_msal_opens_no_connection_of_its_own(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one request goes through requests, msal's own client; and constructing a provider sends nothing."""
    import requests

    def forbidden(*_: Any, **__: Any) -> None:
        message = "msal used requests"
        raise AssertionError(message)

    monkeypatch.setattr(requests.Session, "send", forbidden)
    async with emulator.session() as session:
        await session.connect(emulator.certificate)

    assert [request.path for request in emulator.requests] == [f"/{emulator.tenant_id}/oauth2/v2.0/token"]
    assert emulator.requests[0].headers["user-agent"].startswith("entra-async/")
    assert threading.active_count() < 20


async def test_a_tenant_alias_in_get_token_is_refused(emulator: Emulator) -> None:
    """A connection used as a credential refuses an alias for another tenant, before any call."""
    async with emulator.session() as session:
        connection = await session.connect(emulator.client_secret)
        with pytest.raises(ConfigurationError, match="needs one tenant"):
            await connection.get_token(tenant_id="common")

    assert len(emulator.token_requests) == 1


async def test_authority_and_cloud_can_be_overridden(emulator: Emulator) -> None:
    """authority= and cloud= of connect() win over the Session's."""
    async with Emulator() as other, emulator.session(ssl=other.ca_file, cloud=other.cloud) as session:
        await session.connect(other.client_secret, cloud=other.cloud, authority=f"{other.authority}/")

    assert len(other.token_requests) == 1
    assert not emulator.requests
