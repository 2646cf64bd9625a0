"""Signing in with a token made elsewhere, and with headers instead of a token."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import anyio
import jwt
import pytest
from multidict import CIMultiDict

from entra_async import Session
from entra_async.config import Limits, RetryPolicy, SystemClock, Timeouts
from entra_async.credentials.custom_headers import CustomHeaders, CustomHeadersSource
from entra_async.credentials.static_token import StaticToken
from entra_async.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialUnavailableError,
    InteractionRequiredError,
    RequestTimeoutError,
)
from entra_async.pipeline.limiters import ConnectionLimiters, Limiters
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.testing import Emulator
from entra_async.transport.http.pool import Pool

CANARY = "canary-5ecret-value"


def make_jwt(**claims: Any) -> str:
    return jwt.encode(claims, "a key of thirty-two bytes or more", algorithm="HS256")


async def emulator_token(emulator: Emulator) -> str:
    async with emulator.session() as session:
        connection = await session.connect(emulator.client_secret)
        token = await connection.get_token()
        return token.token


async def test_a_token_made_elsewhere_calls_graph(emulator: Emulator) -> None:
    """A static token is used as it is: its expiry is read from it, and no token is requested."""
    token = await emulator_token(emulator)
    emulator.requests.clear()
    async with emulator.session() as session:
        connection = await session.connect(StaticToken(token=token))
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    assert connection.account.name.startswith("StaticToken")
    assert not emulator.token_requests


async def test_it_is_never_renewed(emulator: Emulator) -> None:
    """It serves until its last second; then an error says since when it is worthless, and nothing is sent."""
    token = await emulator_token(emulator)
    provider = StaticToken(token=token)
    emulator.requests.clear()
    async with emulator.session() as session:
        connection = await session.connect(provider)
        assert provider.expires_on is not None
        emulator.clock.move(provider.expires_on - emulator.clock.now() - 1)
        assert (await connection.get_token()).token == token
        emulator.clock.move(1)
        with pytest.raises(AuthenticationError, match=r"expired at \d{4}-\d\d-\d\d .*Connect again"):
            await session.invoke("users")

    assert not emulator.requests


async def test_claims_and_tenants_it_cannot_meet(emulator: Emulator) -> None:
    """Further claims and another tenant's token are refused with what to do; its own tenant is fine."""
    tenant_id = "11111111-1111-1111-1111-111111111111"
    token = make_jwt(exp=int(time.time()) + 3600, tid=tenant_id)
    async with emulator.session() as session:
        connection = await session.connect(StaticToken(token=token))
        with pytest.raises(InteractionRequiredError) as caught:
            await connection.get_token(claims='{"access_token":{}}')
        with pytest.raises(AuthenticationError, match="22222222"):
            await connection.get_token(tenant_id="22222222-2222-2222-2222-222222222222")
        assert (await connection.get_token(tenant_id=tenant_id.upper())).token == token

    assert caught.value.claims == '{"access_token":{}}'
    assert not emulator.requests


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"token": ""}, "token"),
        ({"token": None}, "token"),
        ({"token": f"Bearer {CANARY}", "expires_on": 1}, "token"),
        ({"token": f"{CANARY}\n", "expires_on": 1}, "token"),
        ({"token": f"{CANARY}é", "expires_on": 1}, "token"),
        ({"token": CANARY}, "expires_on"),
        ({"token": make_jwt(aud="x")}, "expires_on"),
        ({"token": make_jwt(exp="soon")}, "expires_on"),
        ({"token": "t", "expires_on": CANARY}, "expires_on"),
        ({"token": "t", "expires_on": True}, "expires_on"),
        ({"token": "t", "expires_on": time.time() * 1000}, "expires_on"),
        ({"token": "t", "expires_on": float("nan")}, "expires_on"),
    ],
)
def test_what_cannot_be_a_token_is_refused(values: dict[str, Any], field: str) -> None:
    """A value that can't be a token or a time is told by its field, and never repeated."""
    with pytest.raises(ConfigurationError) as caught:
        StaticToken(**values)

    assert caught.value.field == field
    assert caught.value.hint
    assert CANARY not in f"{caught.value}{vars(caught.value)}"


def test_a_static_token_is_a_plain_value() -> None:
    """It compares, hashes and pickles, and its repr does not show the token."""
    provider = StaticToken(token=CANARY, expires_on=1893456000.9)  # type: ignore[arg-type]  # as time.time() gives it

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert hash(provider) == hash(pickle.loads(pickle.dumps(provider)))
    assert repr(provider) == "StaticToken(expires_on=1893456000)"


def source(headers: Callable[[], Any], **options: Any) -> CustomHeadersSource:
    return CustomHeadersSource(CustomHeaders(headers=headers, **options))


async def test_custom_headers_are_called_for_each_attempt(emulator: Emulator) -> None:
    """Headers from a callable take the place of the token, and are made anew for each attempt."""
    token = await emulator_token(emulator)
    made: list[str] = []

    def headers() -> dict[str, str]:
        time.sleep(0.001)  # blocks: it must run in a thread
        made.append(f"attempt {len(made) + 1}")
        return {"Authorization": f"Bearer {token}", "X-Attempt": made[-1]}

    emulator.faults.add("/v1.0/*", status=503)
    pool = Pool(limits=Limits(), timeouts=Timeouts(), trust=emulator.ca_file)
    limiters = Limiters(clock=SystemClock(), limits=Limits(), queue_s=1)
    try:
        pipeline = Pipeline(
            transport=pool,
            authorization=source(headers),
            clock=SystemClock(),
            policy=RetryPolicy(base_delay_s=0.001),
            limiters=ConnectionLimiters(limiters, service="Graph", app=lambda: "an app", max_pause_s=1),
        )
        url = f"{emulator.graph_url}/v1.0/users/ada@contoso.com"
        response = await pipeline.send(PreparedRequest("GET", url, CIMultiDict()))
    finally:
        await pool.aclose()

    assert response.status == 200
    sent = [request.headers["x-attempt"] for request in emulator.requests if request.service == "graph"]
    assert sent == made == ["attempt 1", "attempt 2"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "returned a NoneType"),
        (CANARY, "returned a str"),
        ({"X-Key": 1}, "value of 'X-Key'"),
        ({"X-Key": f"{CANARY}\r\nHost: elsewhere"}, "value of 'X-Key'"),
        ({"X-Key": ""}, "value of 'X-Key'"),
        ({f"{CANARY}:": "x"}, "name that no header can have"),
        ({1: "x"}, "name that no header can have"),
    ],
    ids=str,
)
async def test_what_cannot_be_sent_as_headers(result: Any, text: str) -> None:
    """What the callable returns is checked before it is sent, and not repeated in the error."""

    async def headers() -> Any:
        return result

    async with Session() as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(CustomHeaders(headers=headers))

    assert CANARY not in str(caught.value)


async def test_a_callable_that_fails_or_hangs() -> None:
    """A failure is an error with its cause; a callable that never returns ends at its time limit."""

    def fail() -> dict[str, str]:
        message = "the vault is sealed"
        raise LookupError(message)

    with pytest.raises(AuthenticationError, match="LookupError: the vault is sealed") as caught:
        await source(fail).attach({}, within_s=60)
    with pytest.raises(AuthenticationError, match=r"no answer within 0\.05 s"):
        await source(anyio.sleep_forever, timeout_s=0.05).attach({}, within_s=60)
    with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.05 s"):
        await source(anyio.sleep_forever).attach({}, within_s=0.05)

    assert isinstance(caught.value.__cause__, LookupError)


async def test_custom_headers_are_no_credential() -> None:
    """A connection with headers has no token for another SDK, and says so."""
    with pytest.raises(CredentialUnavailableError, match="no token"):
        await source(lambda: {"X-Key": "x"}).get_token("https://graph.microsoft.com/.default")


@pytest.mark.parametrize("values", [{"headers": {"X": "y"}}, {"headers": dict}, {"headers": len, "timeout_s": 0}])
def test_headers_must_be_a_callable(values: dict[str, Any]) -> None:
    """A dict, a class or a limit of nothing is refused when the provider is made."""
    with pytest.raises(ConfigurationError):
        CustomHeaders(**values)
