"""What cannot get better by waiting is told at once, with its cause: certificates, proxies, unknown host names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from anyio import to_thread

from entra_async import RetryPolicy, Session, Timeouts
from entra_async.errors import AuthenticationError, TransportError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

UNKNOWN = "no-such-host.invalid"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@asynccontextmanager
async def raw_server(answer: Callable[[bytes], bytes | None], **options: Any) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads once per connection and writes what *answer* returns; ``None``: it waits for more."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.read(65536))
            said = answer(heard[-1])
            if said is None:
                await reader.read()
            else:
                writer.write(said)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def proxy_answer(status: str, *headers: str) -> Callable[[bytes], bytes]:
    lines = [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]
    return lambda _: "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("user", "challenge", "remedy"),
    [
        ("", 'Basic realm="x"', "Give proxy='http://user:password@127.0.0.1:"),
        ("ada:canary-word@", 'Basic realm="x"', "does not accept the user and password"),
        ("ada:canary-word@", "Negotiate", "It wants Negotiate, and only Basic is supported"),
    ],
)
async def test_a_proxy_that_wants_a_password(
    emulator: Emulator, clock: VirtualClock, user: str, challenge: str, remedy: str
) -> None:
    """407 is told after one attempt, by its name, with the proxy, without the password."""
    answer = proxy_answer("407 Proxy Authentication Required", f"Proxy-Authenticate: {challenge}")
    async with (
        raw_server(answer) as (port, heard),
        emulator.session(proxy=f"http://{user}127.0.0.1:{port}", clock=clock) as session,
    ):
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(emulator.client_secret)

    text = str(caught.value)
    assert f"407 Proxy Authentication Required, from http://127.0.0.1:{port}" in text
    assert remedy in text
    assert text.startswith(f"POST {emulator.authority}/")
    assert "canary" not in text
    assert len(heard) == caught.value.attempts == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(("status", "attempts"), [("403 Forbidden", 1), ("502 Bad Gateway", 6), ("429 Slow", 6)])
async def test_other_answers_of_a_proxy(emulator: Emulator, clock: VirtualClock, status: str, attempts: int) -> None:
    """A host that the proxy does not allow is told at once; a proxy that has trouble is asked again."""
    async with (
        raw_server(proxy_answer(status)) as (port, heard),
        emulator.session(proxy=f"http://127.0.0.1:{port}", clock=clock) as session,
    ):
        with pytest.raises(AuthenticationError, match=rf"refused the connection: {status[:3]}, from http"):
            await session.connect(emulator.client_secret)

    assert len(heard) == attempts


@pytest.mark.parametrize("silent", [True, False], ids=["waits for a line", "answers 400"])
async def test_a_proxy_that_speaks_no_tls(emulator: Emulator, clock: VirtualClock, silent: bool) -> None:
    """https:// given for a plain HTTP proxy is told after one attempt, whatever the proxy makes of the handshake."""
    bad = proxy_answer("400 Bad Request")(b"")
    async with raw_server(lambda heard: None if silent and heard[:1] == b"\x16" else bad) as (port, heard):
        options: dict[str, Any] = {"timeouts": Timeouts(connect_s=0.2), "clock": clock}
        async with emulator.session(proxy=f"https://ada:canary-word@127.0.0.1:{port}", **options) as session:
            with pytest.raises(AuthenticationError) as caught:
                await session.connect(emulator.client_secret)

    text = str(caught.value)
    assert f"The proxy https://127.0.0.1:{port} speaks no TLS" in text
    assert f"proxy='http://127.0.0.1:{port}'" in text
    assert "canary" not in text
    assert caught.value.attempts == 1
    assert sum(each[:1] == b"\x16" for each in heard) == 1
    assert all(b"canary" not in each for each in heard)
    assert clock.sleeps == []


async def test_a_certificate_that_is_not_trusted(emulator: Emulator, clock: VirtualClock) -> None:
    """Told after one attempt: of which host, whose certificate, issued by whom, and what to do."""
    async with Emulator() as stranger, emulator.session(clock=clock) as session:
        graph = await session.connect(emulator.client_secret, service_url=stranger.graph_url)
        with pytest.raises(TransportError) as caught:
            await graph.invoke("users")

    text = str(caught.value)
    host = stranger.graph_url.removeprefix("https://").partition("/")[0]
    assert f"The certificate of {host} is not trusted (unable to get local issuer certificate; subject OU=" in text
    assert "issuer OU=Testing CA" in text
    assert "ssl='ca.pem'" in text
    assert caught.value.attempts == 1
    assert caught.value.sent is False
    assert clock.sleeps == []


async def test_a_token_service_whose_certificate_is_not_trusted(clock: VirtualClock) -> None:
    """The same for a token request: the endpoint first, then the cause."""
    async with Emulator() as stranger, Session(cloud=stranger.cloud, clock=clock) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(stranger.client_secret)

    endpoint = f"{stranger.authority}/{stranger.tenant_id}/oauth2/v2.0/token"
    assert str(caught.value).startswith(f"POST {endpoint}: The certificate of localhost:")
    assert "issuer OU=Testing CA" in str(caught.value)
    assert caught.value.attempts == 1
    assert clock.sleeps == []


def make_contexts(case: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server with a bad certificate, and of a client that trusts its issuer."""
    authority = trustme.CA()
    if case == "expired":
        issued = authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
    else:
        issued = authority.issue_cert("elsewhere.example")
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    issued.configure_cert(served)
    authority.configure_trust(trusted)
    return served, trusted


@pytest.mark.parametrize("case", ["expired", "another name"])
async def test_the_remedy_fits_the_certificate(clock: VirtualClock, case: str) -> None:
    """A certificate that has expired, or is for another host, needs another remedy than an unknown issuer."""
    served, trusted = await to_thread.run_sync(make_contexts, case)
    async with raw_server(lambda _: b"", ssl=served) as (port, _), Session(ssl=trusted, clock=clock) as session:
        url = f"https://localhost:{port}"
        custom = await session.connect(headers=lambda: {"X-Key": "1"}, service_url=url)
        with pytest.raises(TransportError) as caught:
            await custom.invoke("users")

    wanted = "It has expired" if case == "expired" else "Check the host name of the URL"
    assert wanted in str(caught.value)
    assert clock.sleeps == []


async def test_a_host_name_that_does_not_exist(emulator: Emulator, clock: VirtualClock) -> None:
    """One more attempt, then the name, and where to look."""
    async with emulator.session(clock=clock) as session:
        graph = await session.connect(emulator.client_secret, service_url=f"https://{UNKNOWN}")
        with pytest.raises(TransportError, match=f"The host name '{UNKNOWN}' is not known") as caught:
            await graph.invoke("users", method="POST", body={})

    assert caught.value.attempts == 2
    assert len(clock.sleeps) == 1


async def test_a_proxy_whose_name_does_not_exist(emulator: Emulator, clock: VirtualClock) -> None:
    """It is the proxy's name that is told, and where it was given."""
    async with emulator.session(proxy=f"http://ada:canary-word@{UNKNOWN}:8080", clock=clock) as session:
        with pytest.raises(AuthenticationError, match=f"'{UNKNOWN}' is not known.*Check proxy=") as caught:
            await session.connect(emulator.client_secret)

    assert caught.value.attempts == 2
    assert "canary" not in str(caught.value)


async def test_a_server_that_speaks_no_tls(emulator: Emulator, clock: VirtualClock) -> None:
    """A port of plain HTTP is told after one attempt."""
    async with raw_server(proxy_answer("400 Bad Request")) as (port, _), emulator.session(clock=clock) as session:
        graph = await session.connect(emulator.client_secret, service_url=f"https://localhost:{port}")
        with pytest.raises(TransportError, match=f"with localhost:{port} .*speaks no TLS at that port") as caught:
            await graph.invoke("users")

    assert caught.value.attempts == 1
    assert clock.sleeps == []


async def test_a_proxy_over_tls_may_take_its_time(
    emulator: Emulator, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow handshake of a proxy that speaks TLS is no error before connect_s is over."""
    monkeypatch.setattr("entra_async.transport.http.pool._HANDSHAKE_S", 0.05)
    async with raw_server(lambda heard: None if heard[:1] == b"\x16" else b"\x15\x03\x03\x00\x02\x02\x46") as (
        port,
        heard,
    ):
        options: dict[str, Any] = {"timeouts": Timeouts(connect_s=0.3), "retry": RetryPolicy(max_attempts=1)}
        async with emulator.session(proxy=f"https://127.0.0.1:{port}", clock=clock, **options) as session:
            with pytest.raises(AuthenticationError, match="No connection came about in time"):
                await session.connect(emulator.client_secret)

    assert sum(each[:1] == b"\x16" for each in heard) == 2
