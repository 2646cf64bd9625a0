"""Faults of servers and networks: a typed error each time, and a pool that works afterwards."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import pytest

from entra_async import Connection, Limits, RetryPolicy, Timeouts
from entra_async.errors import (
    APIStatusError,
    AuthenticationError,
    DecodeError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    ThrottledError,
    TransportError,
    UnauthorizedError,
)
from entra_async.testing import Emulator
from entra_async.transport.http.failures import translated_errors
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
NEW = {
    "accountEnabled": True,
    "displayName": "Zoë",
    "mailNickname": "zoe",
    "userPrincipalName": "zoe@contoso.com",
    "passwordProfile": {"password": "Correct-Horse-7"},
}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def graph(emulator: Emulator, clock: VirtualClock) -> AsyncIterator[Connection]:
    async with emulator.session(clock=clock) as session:
        yield await session.connect(emulator.client_secret)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"html": True}, DecodeError),
        ({"empty": True}, DecodeError),
        ({"half_body": True}, TransportError),
        ({"reset": "before"}, TransportError),
        ({"reset": "after"}, TransportError),
        ({"status": 503, "body": "<html>down</html>"}, ServerError),
        ({"status": 500}, ServerError),
        ({"status": 200, "body": "{not json"}, DecodeError),
        ({"status": 200, "body": b"\xff\xfe"}, DecodeError),
        ({"throttle": 3600}, ThrottledError),
        ({"status": 401}, UnauthorizedError),
    ],
    ids=str,
)
async def test_each_fault_is_a_typed_error(
    graph: Connection, emulator: Emulator, clock: VirtualClock, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Whatever the server does, the error is ours, names the call, and the next call works as soon as it may."""
    rule = emulator.faults.add("/v1.0/users/*", times=None, **fault)
    with pytest.raises(error) as caught:
        await graph.invoke(ADA)
    emulator.faults.clear()
    await clock.sleep(fault.get("throttle", 0))
    user = await graph.invoke(ADA)

    assert rule.hits >= 1
    assert caught.value.url.endswith(f"/v1.0/{ADA}")  # type: ignore[attr-defined]
    # A 401 is tried once more, with a new token.
    assert caught.value.attempts == rule.hits  # type: ignore[attr-defined]
    assert user["givenName"] == "Ada"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 500},
        {"status": 502},
        {"status": 504},
        {"status": 408},
        {"throttle": 1},
        {"throttle": "2.5"},
        {"reset": "before"},
        {"reset": "after"},
        {"half_body": True},
    ],
    ids=str,
)
async def test_a_get_is_sent_again(graph: Connection, emulator: Emulator, clock: VirtualClock, fault: Any) -> None:
    """A transient fault is retried: two responses fail, the third is returned."""
    rule = emulator.faults.add("/v1.0/users/*", times=2, **fault)
    response = await graph.invoke(ADA, raw=True)

    assert response.attempts == 3
    assert rule.hits == 2
    wanted = {"throttle": [float(fault.get("throttle", 0))] * 2}
    assert clock.sleeps == pytest.approx(wanted.get(next(iter(fault)), clock.sleeps), abs=0.1)
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ({"throttle": 1}, True),
        ({"status": 408}, True),
        ({"status": 503, "headers": {"Retry-After": "1"}}, True),
        ({"status": 503}, False),
        ({"status": 500}, False),
        ({"status": 502}, False),
        ({"status": 504}, False),
        ({"reset": "after"}, False),
        ({"reset": "before"}, False),
        ({"half_body": True}, False),
    ],
    ids=str,
)
async def test_a_post_that_may_have_acted_is_not_sent_again(
    graph: Connection, emulator: Emulator, fault: Any, again: bool
) -> None:
    """A POST goes out twice only if the first one certainly did nothing."""
    emulator.faults.add("/v1.0/users", method="POST", **fault)
    if again:
        created = await graph.invoke("users", method="POST", body=NEW)
        assert created["mail"] is None or created["id"]
    else:
        with pytest.raises((TransportError, ServerError)):
            await graph.invoke("users", method="POST", body=NEW)

    assert emulator.requests.count(method="POST", path="/v1.0/users") == (2 if again else 1)


async def test_a_post_is_sent_again_if_the_caller_says_so(graph: Connection, emulator: Emulator) -> None:
    """idempotent=True allows what the method does not."""
    emulator.faults.add("/v1.0/users", method="POST", status=502)
    created = await graph.invoke("users", method="POST", body=NEW, idempotent=True)

    assert created["userPrincipalName"] == "zoe@contoso.com"


async def test_a_long_wait_is_an_error_at_once(graph: Connection, emulator: Emulator, clock: VirtualClock) -> None:
    """A Retry-After of an hour is not slept through; the error says how long it would have been."""
    emulator.faults.add("/v1.0/users/*", throttle=3600)
    with pytest.raises(ThrottledError) as caught:
        await graph.invoke(ADA)

    assert caught.value.retry_after_s == 3600
    assert caught.value.attempts == 1
    assert clock.sleeps == []


async def test_attempts_end(graph: Connection, emulator: Emulator, clock: VirtualClock) -> None:
    """A fault that stays ends in an error that counts the attempts; the waits between them grow."""
    emulator.faults.add("/v1.0/users/*", times=None, status=503)
    with pytest.raises(ServerError) as caught:
        await graph.invoke(ADA)

    assert caught.value.attempts == 6 == emulator.requests.count(path=f"/v1.0/{ADA}")
    assert len(clock.sleeps) == 5
    assert clock.sleeps[-1] > clock.sleeps[0]


async def test_a_call_ends_in_time(graph: Connection, emulator: Emulator) -> None:
    """timeout= covers everything, and says so."""
    emulator.faults.add("/v1.0/users/*", times=None, delay_s=3600)
    with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.2 s") as caught:
        await graph.invoke(ADA, timeout=0.2)

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.attempts == 1


async def test_a_slow_response_ends_in_time(emulator: Emulator, clock: VirtualClock) -> None:
    """response_s ends an attempt whose response takes too long; a GET is sent again."""
    emulator.faults.add("/v1.0/users/*", times=1, delay_s=3600)
    async with emulator.session(clock=clock, timeouts=Timeouts(response_s=0.2)) as session:
        await session.connect(emulator.client_secret)
        response = await session.invoke(ADA, raw=True)

    assert response.attempts == 2


async def test_the_queue_is_not_a_connect_timeout(emulator: Emulator) -> None:
    """300 calls through 2 slots, each call far longer in the queue than connect_s allows for connecting."""
    async with Emulator(page_delay_s=0.005) as slow:
        options = {"limits": Limits(connections=2), "timeouts": Timeouts(connect_s=0.3)}
        async with slow.session(**options) as session:
            await session.connect(slow.client_secret)
            done = []

            async def call() -> None:
                done.append(await session.invoke(ADA))

            async with anyio.create_task_group() as group:
                for _ in range(300):
                    group.start_soon(call)

    assert len(done) == 300


async def test_a_full_queue_says_so(emulator: Emulator) -> None:
    """An error after waiting too long for a slot names the slots, not the network."""
    emulator.faults.add("/v1.0/users/*", delay_s=3600)
    options: dict[str, Any] = {
        "limits": Limits(connections=1),
        "timeouts": Timeouts(queue_s=0.1),
        "retry": RetryPolicy(max_attempts=1),
    }
    async with emulator.session(**options) as session, anyio.create_task_group() as group:
        await session.connect(emulator.client_secret)
        group.start_soon(session.invoke, ADA)
        await emulator.requests.wait_for(1, path=f"/v1.0/{ADA}")
        with pytest.raises(RequestTimeoutError, match="all 1 slots of the pool"):
            await session.invoke("users")
        group.cancel_scope.cancel()


@pytest.mark.parametrize("status", [300, 302, 304, 307])
async def test_a_write_that_is_redirected_is_no_success(graph: Connection, emulator: Emulator, status: int) -> None:
    """A POST with a 3xx did nothing, and the error says so; nothing is sent to the other URL."""
    emulator.faults.add("/v1.0/users", status=status, headers={"Location": "https://evil.example/users"})
    with pytest.raises(APIStatusError) as caught:
        await graph.invoke("users", method="POST", body=NEW)

    assert caught.value.status == status


async def test_not_modified_is_no_error_for_those_who_ask(graph: Connection, emulator: Emulator) -> None:
    """304 is a response to If-None-Match, and an error without it."""
    emulator.faults.add("/v1.0/users/*", times=2, status=304)
    response = await graph.invoke(ADA, headers={"If-None-Match": '"x"'}, raw=True)
    with pytest.raises(APIStatusError):
        await graph.invoke(ADA)

    assert response.status == 304


async def test_a_rejected_token_is_replaced_once(graph: Connection, emulator: Emulator) -> None:
    """100 calls whose token was revoked: one new token, 100 responses; a second 401 is an error."""
    emulator.faults.add("/v1.0/users/*", times=100, status=401)
    emulator.requests.clear()
    done: list[Any] = []

    async def call() -> None:
        done.append(await graph.invoke(ADA))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(call)
    emulator.faults.add("/v1.0/users/*", times=2, status=401)
    with pytest.raises(UnauthorizedError) as caught:
        await graph.invoke(ADA)

    assert len(done) == 100
    assert caught.value.attempts == 2
    assert len(emulator.token_requests) == 2


async def test_a_call_ends_in_time_although_its_token_does_not_come(emulator: Emulator) -> None:
    """timeout= covers the wait for a token, too."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.clock.move(29 * 3600)
        emulator.faults.add("/*/token", delay_s=3600)
        with pytest.raises(RequestTimeoutError):
            await graph.invoke(ADA, timeout=0.2)


async def test_a_chain_of_redirects_ends_in_time(emulator: Emulator) -> None:
    """timeout= covers all the hops of a redirect together, and a loop of them ends by itself."""
    emulator.faults.add("/v1.0/a", times=None, status=302, headers={"Location": "a"}, delay_s=0.15)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(RequestTimeoutError):
            await graph.invoke("a", timeout=0.3)
        emulator.faults.clear()
        emulator.faults.add("/v1.0/a", times=None, status=302, headers={"Location": "a"})
        with pytest.raises(RequestError, match="redirected more than"):
            await graph.invoke("a")


async def test_the_environment_names_a_proxy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """trust_env=True takes HTTPS_PROXY, honours NO_PROXY, and leaves ~/.netrc alone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://user:canary@127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        options: dict[str, Any] = {"trust_env": True, "retry": RetryPolicy(max_attempts=1)}
        async with emulator.session(**options) as session:
            with pytest.raises(AuthenticationError, match="proxy cannot be reached") as caught:
                await session.connect(emulator.client_secret)
        monkeypatch.setenv("no_proxy", "localhost")
        async with emulator.session(**options) as session:
            await session.connect(emulator.client_secret)

    assert "canary" not in str(caught.value)


async def test_an_unreachable_host(emulator: Emulator, clock: VirtualClock) -> None:
    """An unreachable host is a typed error; nothing was sent, so even a POST is sent again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"https://localhost:{taken.getsockname()[1]}"
        async with emulator.session(clock=clock) as session:
            graph = await session.connect(emulator.client_secret, service_url=url)
            with pytest.raises(TransportError, match="cannot be reached") as caught:
                await graph.invoke("users", method="POST", body={})

    assert caught.value.sent is False
    assert caught.value.attempts == 6
    assert isinstance(caught.value, ConnectionError)


async def test_an_untrusted_server(emulator: Emulator, clock: VirtualClock) -> None:
    """A certificate that is not trusted is an error, with what to do about it."""
    async with Emulator() as stranger, emulator.session(clock=clock) as session:
        graph = await session.connect(emulator.client_secret, service_url=stranger.graph_url)
        with pytest.raises(TransportError, match=r"not trusted.*ssl="):
            await graph.invoke("users")

    assert not stranger.requests


async def test_a_proxy_carries_everything(emulator: Emulator) -> None:
    """With proxy= every connection, sign-in included, goes through the proxy."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[0])
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, emulator.session(proxy=proxy, retry=RetryPolicy(max_attempts=1)) as session:
        with pytest.raises(Exception, match="proxy refused"):
            await session.connect(emulator.client_secret)

    assert asked == [f"CONNECT {emulator.authority.removeprefix('https://')} HTTP/1.1".encode()]
    assert not emulator.requests


def test_every_error_of_the_engine_is_translated() -> None:
    """Whatever aiohttp can raise for a request has a translation."""
    known = tuple(translated_errors())
    engine_error = [
        value
        for value in vars(aiohttp).values()
        if isinstance(value, type) and issubclass(value, aiohttp.ClientError | asyncio.TimeoutError)
    ]

    assert len(engine_error) > 20
    assert all(issubclass(error, known) for error in engine_error)


@pytest.mark.parametrize("status", [200, 403, 511])
async def test_a_sign_in_page_of_the_network(graph: Connection, emulator: Emulator, status: int) -> None:
    """A web page in the place of the service or the token service: the error has its type, first words and host."""
    page = "<html><head><title>Sign in to Contoso Guest</title></head></html>"
    fault: dict[str, Any] = {"status": status, "body": page, "headers": {"Content-Type": "text/html"}}
    emulator.faults.add("/v1.0/users/*", times=None, **fault)
    with pytest.raises((DecodeError, APIStatusError), match=r"text/html.*Sign in to Contoso Guest") as caught:
        await graph.invoke(ADA)
    assert str(caught.value).startswith(f"GET {emulator.graph_url}/")

    emulator.faults.add("/*/token", times=None, **fault)
    async with emulator.session(clock=VirtualClock()) as session:
        with pytest.raises(AuthenticationError, match=r"localhost.*text/html.*Sign in to Contoso Guest"):
            await session.connect(emulator.client_secret)
