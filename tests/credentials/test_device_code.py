"""Signing in with a device code: shown to the user, polled for at the interval of Entra ID."""

from __future__ import annotations

import asyncio
import pickle
import threading
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from entra_async import Session
from entra_async.cli.stall import StallMeter
from entra_async.credentials.device_code import DeviceCode, DeviceCodePrompt
from entra_async.errors import AuthenticationError, ConfigurationError, InteractionRequiredError
from entra_async.testing import Emulator

CLIENT = "11111111-1111-1111-1111-111111111111"
TOKEN = "/*/oauth2/v2.0/token"


class Pace:
    """The emulator's clock, on which the waits between polls pass at once."""

    def __init__(self, emulator: Emulator) -> None:
        self.now = emulator.clock.now
        self.monotonic = emulator.clock.monotonic
        self.waits: list[float] = []
        self._clock = emulator.clock

    async def sleep(self, seconds: float) -> None:
        if seconds > 60:  # the deadline
            await self._clock.sleep(seconds)
            return
        self.waits.append(seconds)
        self._clock.move(seconds)
        await anyio.lowlevel.checkpoint()


class Person:
    """Someone who enters the code, and remembers what they were shown."""

    def __init__(self, emulator: Emulator, **options: Any) -> None:
        self.shown: list[DeviceCodePrompt] = []
        self._browser = emulator.browser
        self._options = options

    async def enter(self, prompt: DeviceCodePrompt) -> None:
        self.shown.append(prompt)
        await self._browser.enter_device_code(prompt.user_code, **self._options)


def device(emulator: Emulator, **changes: Any) -> DeviceCode:
    values: dict[str, Any] = {
        "client_id": emulator.public_app.client_id,
        "tenant_id": emulator.tenant_id,
        "prompt": Person(emulator).enter,
    }
    return DeviceCode(**{**values, **changes})


async def ignore(_: DeviceCodePrompt) -> None:
    """Be someone who does nothing about it."""


async def test_sign_in(emulator: Emulator) -> None:
    """The user enters the code that was shown, and the token is theirs."""
    person = Person(emulator)
    pace = Pace(emulator)
    before = emulator.clock.now()
    async with emulator.session(clock=pace) as session:
        await session.connect(device(emulator, prompt=person.enter))
        me = await session.invoke("me")
    (prompt,) = person.shown

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert prompt.user_code in prompt.message
    assert prompt.verification_uri in prompt.message
    assert 895 <= prompt.expires_on - before <= 905
    assert {*pace.waits} == {5}


async def test_one_code_serves_several_services(emulator: Emulator) -> None:
    """The code is shown once, also when several services are connected at the same time."""
    person = Person(emulator)
    provider = device(emulator, prompt=person.enter)
    async with emulator.session(clock=Pace(emulator)) as session:
        async with anyio.create_task_group() as group:
            for service in ("Graph", "Azure", "Endpoint"):
                group.start_soon(partial(session.connect, provider, service=service))
        assert len(session.connections) == 3

    assert len(person.shown) == 1


async def test_a_prompt_that_is_not_async(emulator: Emulator) -> None:
    """A plain function runs in a worker thread, so that it may take its time."""
    loop = asyncio.get_running_loop()
    threads: list[threading.Thread] = []

    def prompt(shown: DeviceCodePrompt) -> None:
        threads.append(threading.current_thread())
        entering = emulator.browser.enter_device_code(shown.user_code)
        asyncio.run_coroutine_threadsafe(entering, loop).result(10)

    async with emulator.session(clock=Pace(emulator)) as session:
        await session.connect(device(emulator, prompt=prompt))

    assert threads != [threading.main_thread()]


async def test_the_message_goes_to_stderr(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a prompt of one's own, Microsoft's message is printed, and nothing on stdout."""
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(InteractionRequiredError):
            await session.connect(device(emulator, prompt=None, timeout_s=61))
    out, err = capsys.readouterr()

    assert "/deviceauth" in err
    assert not out


async def test_slow_down_is_obeyed(emulator: Emulator) -> None:
    """Each slow_down makes every later wait five seconds longer (RFC 8628, section 3.5)."""
    entered = anyio.Event()
    emulator.faults.add(TOKEN, times=2, status=400, body={"error": "slow_down"})
    pace = Pace(emulator)

    async def prompt(shown: DeviceCodePrompt) -> None:
        await emulator.browser.enter_device_code(shown.user_code)
        entered.set()

    async with emulator.session(clock=pace) as session:
        await session.connect(device(emulator, prompt=prompt))

    assert pace.waits[:3] == [5, 10, 15]
    assert {*pace.waits[2:]} == {15}


async def test_declining(emulator: Emulator) -> None:
    """A user who declines ends the polling at once, with a typed error."""
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(device(emulator, prompt=Person(emulator, decline=True).enter))

    assert caught.value.error in {"authorization_declined", "access_denied"}
    assert caught.value.hint


@pytest.mark.parametrize("timeout_s", [None, 100])
async def test_nobody_enters_the_code(emulator: Emulator, timeout_s: float | None) -> None:
    """When the code's life or one's own limit is over, the polling ends with a typed error."""
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(device(emulator, prompt=ignore, timeout_s=timeout_s))

    assert caught.value.hint
    if timeout_s is not None:
        assert "within 100 s" in str(caught.value)


async def test_an_expired_code(emulator: Emulator) -> None:
    """Entra ID's own word that the code has expired is a typed error, too."""
    refusal = {"error": "expired_token", "error_description": "AADSTS70019: Verification code expired."}
    emulator.faults.add(TOKEN, status=400, body=refusal)
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(device(emulator, prompt=ignore))

    assert caught.value.code == "AADSTS70019"


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"reset": "before"}, {"half_body": True}], ids=str)
async def test_a_poll_that_is_lost(emulator: Emulator, fault: dict[str, Any]) -> None:
    """A poll that fails on the way is not repeated out of turn; the next one comes after the interval."""
    emulator.faults.add(TOKEN, times=2, **fault)
    pace = Pace(emulator)
    async with emulator.session(clock=pace) as session:
        await session.connect(device(emulator))

    assert len(pace.waits) >= 3
    assert {*pace.waits} == {5}


@pytest.mark.parametrize("interval", [0, -1, "5"])
async def test_an_interval_that_makes_no_sense(emulator: Emulator, interval: Any) -> None:
    """A response without a usable interval means five seconds."""
    body = {"device_code": "d", "user_code": "ABC", "verification_uri": "https://x.example", "expires_in": 900}
    emulator.faults.add("/*/oauth2/v2.0/devicecode", status=200, body={**body, "interval": interval})
    pace = Pace(emulator)
    shown: list[DeviceCodePrompt] = []
    async with emulator.session(clock=pace) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(device(emulator, prompt=shown.append))

    assert caught.value.error == "bad_verification_code"
    assert pace.waits == [5]
    assert shown[0].message == "To sign in, open https://x.example and enter the code ABC."


@pytest.mark.parametrize("body", [{"hello": "world"}, {"user_code": 1}, "[1]", {"error": "invalid_client"}], ids=str)
async def test_nonsense_instead_of_a_code(emulator: Emulator, body: Any) -> None:
    """What is no device code is a typed error, before the prompt is called."""
    emulator.faults.add("/*/oauth2/v2.0/devicecode", status=200, body=body)
    shown: list[DeviceCodePrompt] = []
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(AuthenticationError):
            await session.connect(device(emulator, prompt=shown.append))

    assert not shown


async def test_an_unknown_application(emulator: Emulator) -> None:
    """The refusal of the first request names its code, as any other."""
    async with emulator.session(clock=Pace(emulator)) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(device(emulator, client_id=CLIENT))

    assert caught.value.code == "AADSTS700016"


async def test_a_prompt_that_fails(emulator: Emulator) -> None:
    """What goes wrong while the code is shown ends the sign-in at once."""

    async def prompt(_: DeviceCodePrompt) -> None:
        raise OSError("no display")

    async with emulator.session(clock=emulator.clock) as session:
        with pytest.raises(AuthenticationError, match="no display"):
            await session.connect(device(emulator, prompt=prompt))

    assert not emulator.token_requests


async def test_cancelling(emulator: Emulator) -> None:
    """A sign-in that is cancelled stops polling and leaves no task behind."""
    shown = anyio.Event()

    async def prompt(_: DeviceCodePrompt) -> None:
        shown.set()

    async def names() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()}

    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(device(emulator, prompt=prompt)))
        await shown.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with anyio.fail_after(1):
            while "entra_async token" in await names():
                await anyio.lowlevel.checkpoint()

    assert not emulator.token_requests


async def test_the_loop_runs_on(emulator: Emulator) -> None:
    """Polling never keeps the loop from its work."""
    meter = StallMeter()
    async with emulator.session(clock=Pace(emulator)) as session:
        await session.connect(emulator.client_secret, service="Azure")
        async with anyio.create_task_group() as group:
            group.start_soon(meter.run)
            await session.connect(device(emulator))
            group.cancel_scope.cancel()

    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


async def test_closing_the_session_ends_it(emulator: Emulator) -> None:
    """Closing the Session during the sign-in ends the wait at once."""
    shown = anyio.Event()

    async def prompt(_: DeviceCodePrompt) -> None:
        shown.set()

    session: Session = emulator.session()
    task = asyncio.ensure_future(session.connect(device(emulator, prompt=prompt)))
    await shown.wait()
    with anyio.fail_after(2):
        await session.aclose()
        with pytest.raises(Exception, match="closed"):
            await task


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_id": ""}, "client_id"),
        ({"tenant_id": "no tenant"}, "tenant_id"),
        ({"scopes": "User.Read"}, "scopes"),
        ({"prompt": "print"}, "prompt"),
        ({"timeout_s": -1}, "timeout_s"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_at_once(changes: dict[str, Any], field: str) -> None:
    """Each malformed value is an error that names the field."""
    with pytest.raises(ConfigurationError) as caught:
        DeviceCode(**{"client_id": CLIENT, **changes})

    assert caught.value.field == field


def test_a_provider_is_a_value() -> None:
    """A provider can be pickled, and a prompt too."""
    values: dict[str, Any] = {"client_id": CLIENT, "scopes": ["User.Read"]}
    provider = DeviceCode(**values, timeout_s=60)

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert provider.scopes == ("User.Read",)
