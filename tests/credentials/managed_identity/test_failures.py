"""What a host says instead of a token: waited for if it passes, else explained."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest

from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.testing import Emulator
from entra_async.testing.managed_identity.host import HostKind
from tests.credentials.managed_identity.conftest import HOSTS, ON
from tests.support.virtual_clock import VirtualClock

IMDS = "/metadata/identity/oauth2/token"
PASSING = [
    ({"status": 404}, 5, [0.0, 2.0, 6.0, 14.0, 30.0]),
    ({"status": 410}, 5, [0.0, 5.0, 10.0, 20.0, 40.0]),
    ({"status": 500}, 3, [0.0, 2.0, 6.0]),
    ({"status": 503}, 2, [0.0, 2.0]),
    ({"throttle": 9}, 2, [9.0, 9.0]),
    ({"status": 429}, 2, [0.0, 2.0]),
]


@pytest.mark.parametrize(("fault", "times", "waits"), PASSING, ids=str)
async def test_a_virtual_machine_that_is_being_updated_is_waited_for(
    fault: dict[str, Any], times: int, waits: list[float], emulator: Emulator, on: ON
) -> None:
    """404, 410, 429 and 5xx of IMDS are sent again, after the documented waits or a longer Retry-After."""
    clock = VirtualClock()
    emulator.faults.add(IMDS, service="imds", times=times, **fault)
    async with on("imds"), emulator.session(clock=clock) as session:
        await session.connect(ManagedIdentity())

    assert clock.sleeps == waits
    assert emulator.requests.count(service="imds") == times + 1


@pytest.mark.parametrize("status", [404, 410, 429, 500])
async def test_a_virtual_machine_that_stays_so_is_given_up(status: int, emulator: Emulator, on: ON) -> None:
    """After six attempts a lasting failure is an error with its status."""
    emulator.faults.add(IMDS, service="imds", times=None, status=status)
    async with on("imds"), emulator.session(clock=VirtualClock()) as session:
        with pytest.raises(AuthenticationError, match="failed, 6 times") as caught:
            await session.connect(ManagedIdentity())

    assert not isinstance(caught.value, CredentialUnavailableError)
    assert (caught.value.status, caught.value.attempts) == (status, 6)


async def test_the_deadline_holds_for_all_attempts(emulator: Emulator, on: ON) -> None:
    """timeout_s ends the waiting as a whole, even where each wait is short."""
    clock = VirtualClock()
    emulator.faults.add(IMDS, service="imds", times=None, status=410)
    async with on("imds"), emulator.session(clock=clock) as session:
        with pytest.raises(AuthenticationError, match="failed, 3 times"):
            await session.connect(ManagedIdentity(timeout_s=12.0))

    assert clock.sleeps == [0.0, 5.0]


STRANGER = "22222222-2222-2222-2222-222222222222"
REFUSALS: list[tuple[HostKind, dict[str, Any], dict[str, Any], type[AuthenticationError], str]] = [
    ("imds", {"system_assigned": False}, {}, CredentialUnavailableError, "has no such identity"),
    ("imds", {}, {"identity_id": STRANGER}, CredentialUnavailableError, "has no such identity"),
    (
        "imds",
        {"system_assigned": False, "user_assigned": ["web", "worker"]},
        {},
        AuthenticationError,
        "several identities.*identity_id",
    ),
    ("app_service", {"system_assigned": False}, {}, CredentialUnavailableError, "has no such identity"),
    ("app_service", {}, {"identity_id": STRANGER}, CredentialUnavailableError, "has no such identity"),
    ("arc", {"system_assigned": False}, {}, CredentialUnavailableError, "has no such identity"),
    ("azure_ml", {}, {"identity_id": STRANGER}, CredentialUnavailableError, "has no such identity"),
    ("service_fabric", {"system_assigned": False}, {}, CredentialUnavailableError, "has no such identity"),
    ("cloud_shell", {"system_assigned": False}, {}, CredentialUnavailableError, "has no such identity"),
]


@pytest.mark.parametrize(("kind", "host", "values", "error", "text"), REFUSALS)
async def test_an_identity_that_is_not_there(
    kind: HostKind,
    host: dict[str, Any],
    values: dict[str, Any],
    error: type[AuthenticationError],
    text: str,
    emulator: Emulator,
    on: ON,
) -> None:
    """No identity, another identity, too many to choose from: each has an error that says what to do, at once."""
    async with on(kind, **host), emulator.session() as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(ManagedIdentity(**values))

    assert type(caught.value) is error
    assert caught.value.hint
    assert caught.value.attempts == 1


@pytest.mark.parametrize("kind", [kind for kind in HOSTS if kind not in {"app_service", "container_apps"}])
async def test_an_unknown_resource(kind: HostKind, emulator: Emulator, on: ON) -> None:
    """A resource that the tenant does not have keeps Entra ID's own code."""
    async with on(kind), emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(ManagedIdentity(), resource="https://nowhere.example")

    assert caught.value.code == "AADSTS500011"


ODD: list[tuple[dict[str, Any], type[AuthenticationError], str]] = [
    ({"status": 400, "body": {"error": "invalid_request", "error_description": "Odd."}}, AuthenticationError, "Odd"),
    ({"status": 400, "body": "<html>"}, CredentialUnavailableError, "is not one of"),
    ({"status": 401, "body": {"error": "unknown_source"}}, AuthenticationError, "rejected the secret"),
    ({"status": 403, "body": "http://169.254.169.254: unreachable"}, CredentialUnavailableError, "cannot be reached"),
    ({"status": 403, "body": {"error": "forbidden"}}, AuthenticationError, "refused"),
    ({"html": True}, CredentialUnavailableError, "is not one of.*'Sign in Welcome"),
    ({"empty": True}, CredentialUnavailableError, "is not one of"),
    ({"status": 200, "body": "[1]"}, CredentialUnavailableError, "is not one of"),
    ({"status": 200, "body": {"hello": "world"}}, AuthenticationError, "no token"),
    ({"status": 200, "body": {"access_token": "x"}}, AuthenticationError, "no expiry"),
    ({"status": 200, "body": {"access_token": "x", "expires_on": "soon"}}, AuthenticationError, "no expiry"),
    ({"status": 200, "body": {"access_token": "x", "expires_on": "1000"}}, AuthenticationError, "expired"),
    ({"status": 302, "body": "", "headers": {"Location": "http://x"}}, CredentialUnavailableError, "is not one of"),
]


@pytest.mark.parametrize(("fault", "error", "text"), ODD, ids=str)
async def test_odd_responses_are_typed_errors(
    fault: dict[str, Any], error: type[AuthenticationError], text: str, emulator: Emulator, on: ON
) -> None:
    """Whatever answers in place of IMDS becomes an error that says so, after one request."""
    emulator.faults.add(IMDS, service="imds", times=None, **fault)
    async with on("imds"), emulator.session() as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(ManagedIdentity())

    assert type(caught.value) is error
    assert caught.value.hint
    assert emulator.requests.count(service="imds") == 1


async def test_nobody_there(emulator: Emulator) -> None:
    """Where nothing listens, the error says what to check, after a few tries."""
    clock = VirtualClock()
    async with emulator.session(clock=clock) as session:
        with pytest.raises(CredentialUnavailableError, match=r"firewall.*AzureCli") as caught:
            await session.connect(ManagedIdentity())

    assert caught.value.attempts == 3
    assert len(clock.sleeps) == 2


async def test_no_response_ends_with_the_deadline(emulator: Emulator, on: ON) -> None:
    """A host that takes the request and does not respond is abandoned after timeout_s."""
    emulator.faults.add(IMDS, service="imds", times=None, delay_s=3600)
    async with on("imds"), emulator.session() as session:
        started = time.monotonic()
        with pytest.raises(CredentialUnavailableError, match="gave no answer"):
            await session.connect(ManagedIdentity(timeout_s=0.3))

    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", HOSTS)
async def test_a_broken_response_is_requested_again(kind: HostKind, emulator: Emulator, on: ON) -> None:
    """A connection that breaks before, in or after the response does no harm."""
    emulator.faults.add("*", service=kind, reset="after")
    emulator.faults.add("*", service=kind, half_body=True)
    async with on(kind), emulator.session(clock=VirtualClock()) as session:
        await session.connect(ManagedIdentity())


@pytest.mark.parametrize("kind", HOSTS)
async def test_a_cancelled_request_is_off_the_wire(kind: HostKind, emulator: Emulator, on: ON) -> None:
    """Cancelling a sign-in ends its request and leaves no task."""
    emulator.faults.add("*", service=kind, times=None, delay_s=3600)
    async with on(kind), emulator.session() as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.connect, ManagedIdentity())
            await emulator.requests.wait_for(1, service=kind)
            group.cancel_scope.cancel()
        with anyio.fail_after(2):
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("environment", "error", "text"),
    [
        ({"IDENTITY_ENDPOINT": "http://127.0.0.1:9/"}, CredentialUnavailableError, "IDENTITY_HEADER"),
        ({"IDENTITY_ENDPOINT": "nonsense", "IDENTITY_HEADER": "h1dden"}, ConfigurationError, "no URL"),
        (
            {
                "IDENTITY_ENDPOINT": "http://localhost/",
                "IDENTITY_HEADER": "h1dden",
                "IDENTITY_SERVER_THUMBPRINT": "0" * 40,
            },
            ConfigurationError,
            "no https URL",
        ),
        (
            {
                "IDENTITY_ENDPOINT": "https://localhost/",
                "IDENTITY_HEADER": "h1dden",
                "IDENTITY_SERVER_THUMBPRINT": "xyz",
            },
            ConfigurationError,
            "thumbprint",
        ),
        ({"MSI_ENDPOINT": "ftp://localhost", "MSI_SECRET": "h1dden"}, ConfigurationError, "MSI_ENDPOINT"),
        ({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "localhost"}, ConfigurationError, "no URL"),
    ],
)
async def test_an_environment_that_makes_no_sense(
    environment: dict[str, str],
    error: type[Exception],
    text: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables that were copied, half set or overwritten are named; their values are not shown."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    async with emulator.session() as session:
        with pytest.raises(error, match=text) as caught:
            await session.connect(ManagedIdentity())

    assert "h1dden" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("kind", HOSTS)
async def test_no_secret_in_what_can_be_seen(
    kind: HostKind, emulator: Emulator, on: ON, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the log at its finest nor an error shows the host's secret, a key or a token."""
    caplog.set_level("DEBUG")
    async with on(kind) as host, emulator.session(clock=VirtualClock()) as session:
        connection = await session.connect(ManagedIdentity())
        emulator.faults.add("*", service=kind, times=None, status=400, body={"error": {"message": host.secret[:0]}})
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(ManagedIdentity(), service="Azure")
        shown = caplog.text + repr(caught.value) + str(caught.value) + repr(connection) + repr(session)
        token = await connection.get_token()

    assert host.secret not in shown
    assert token.token not in shown
