"""Secrets appear nowhere: not in logs at DEBUG, reprs, errors, tracebacks or pickles."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from azure.core.credentials import AccessToken

import entra_async
from entra_async import ClientSecret, MemoryStore, Session, Token
from entra_async.errors import ConfigurationError, EntraError, ForbiddenError
from entra_async.secrecy import wipe_locals
from entra_async.telemetry.events import RequestFinished
from entra_async.testing import Emulator
from tests.support.secrecy import Watch, everything_about, frames_of
from tests.support.virtual_clock import VirtualClock

CANARY = "canary-5ecret-value"
QUERY = "canary-query"


FAULTS: dict[str, Callable[[Emulator], Any]] = {
    "none": lambda _: None,
    "wrong secret": lambda emulator: emulator.faults.add("/*/token", status=401, body={"error": "invalid_client"}),
    "page of a proxy": lambda emulator: emulator.faults.add("/*/token", html=True),
    "reset": lambda emulator: emulator.faults.add("/*/token", times=None, reset="after"),
    "the secret comes back": lambda emulator: emulator.faults.add(
        "/*/token",
        status=401,
        body={"error": "invalid_client", "error_description": f"AADSTS7000215: {CANARY} is wrong"},
    ),
    "no HTTP": lambda emulator: emulator.faults.add("/v1.0/*", times=None, status=200, headers={"X": "a" * 20_000}),
    "graph refuses": lambda emulator: emulator.faults.add("/v1.0/*", status=401),
    "graph breaks off": lambda emulator: emulator.faults.add("/v1.0/*", times=None, half_body=True),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_secret_shows(fault: str, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, neither the client secret nor a token is in any record, repr, event or error."""
    caplog.set_level(logging.DEBUG)
    app = emulator.register_app(secret=CANARY)
    provider = ClientSecret(client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret=CANARY)
    FAULTS[fault](emulator)
    events: list[RequestFinished] = []
    seen = [repr(provider), str(provider)]
    tokens = []
    async with emulator.session(clock=VirtualClock(), listener=events.append) as session:
        try:
            connection = await session.connect(provider)
            seen += [repr(connection), repr(session), repr(connection.token), str(connection.token)]
            if connection.token is not None:
                tokens.append(connection.token.token)
            response = await connection.invoke("users", query={"$filter": f"mail eq '{QUERY}'"}, raw=True)
            seen += [repr(response), repr(response.headers)]
        except EntraError as error:
            # The locals of the verb that was called are its arguments; the query is among them.
            seen += [text.replace(QUERY, "") if ": " in place else text for place, text in everything_about(error)]
    # The emulator's own server logs the requests it gets; what is judged is this side.
    records = [record for record in caplog.records if not record.name.startswith("aiohttp")]
    seen += [record.getMessage() + str(record.args) + str(record.exc_text) for record in records]
    seen += [repr(event) for event in events]

    assert events
    assert any(record.name.startswith("msal") for record in caplog.records)
    for secret in (CANARY, QUERY, *tokens):
        assert not [text for text in seen if secret in text]


async def test_nothing_alive_shows_a_secret(emulator: Emulator) -> None:
    """Whatever objects of the package are alive while a Session works, their reprs show no secret."""
    app = emulator.register_app(secret=CANARY)
    provider = ClientSecret(client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret=CANARY)
    store = MemoryStore(now=emulator.clock.now)
    async with emulator.session(store=store) as session:
        graph = await session.connect(provider)
        users = graph.stream("users")
        await anext(users)
        watch = Watch()
        kinds = set()
        for each in gc.get_objects():
            module = str(type(each).__module__)
            if module.startswith("entra_async") and not module.startswith("entra_async.testing"):
                kinds.add(type(each).__name__)
                watch.look(type(each).__name__, repr(each))
        await users.aclose()

    assert kinds >= {"Session", "Connection", "Token", "Broker", "TokenKey", "ClientSecret", "MemoryStore"}
    assert not watch.leaks


async def test_a_traceback_shows_lines_but_no_locals(emulator: Emulator) -> None:
    """What a debugger or an error tracker prints of our frames is where they are, and nothing that they held."""
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users*", status=403)
        with pytest.raises(ForbiddenError) as caught:
            await session.invoke("users/ada@contoso.com")

    places = [place for place, names in frames_of(caught.value.__traceback__) if not names]
    assert "entra_async.pipeline.pipeline:_judge" in places


@pytest.mark.parametrize(
    "options", [{"client_secret": CANARY}, {"username": "ada", "password": CANARY}, {"certificate_password": CANARY}]
)
async def test_keywords_that_are_refused_show_nothing(options: dict[str, Any]) -> None:
    """A wrong mix of keywords to connect() is an error without their values in any frame of ours."""
    async with Session() as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(client_id="no GUID", tenant_id="contoso.com", **options)

    assert not [text for _, text in everything_about(caught.value) if CANARY in text]


def test_a_provider_that_is_refused_shows_nothing() -> None:
    """Nor does the constructor of a provider that finds another of its fields wrong."""
    with pytest.raises(ConfigurationError) as caught:
        ClientSecret(client_id="no GUID", tenant_id="contoso.com", client_secret=CANARY)

    assert not [text for _, text in everything_about(caught.value) if CANARY in text]


async def test_a_task_that_goes_on_keeps_its_locals() -> None:
    """An error that a coroutine or generator of ours has handled may be raised elsewhere: they go on unharmed."""
    names: dict[str, Any] = {"__name__": "entra_async.example"}
    program = """
def fail(secret):
    raise ValueError

async def handle(secret, errors, go):
    try:
        fail(secret)
    except ValueError as error:
        errors.append(error)
        await go.wait()
    return secret

def produce(secret, errors):
    try:
        fail(secret)
    except ValueError as error:
        errors.append(error)
        yield secret
    yield secret
"""
    exec(compile(program, "a file", "exec"), names)
    errors: list[ValueError] = []
    go = anyio.Event()
    task = asyncio.create_task(names["handle"](CANARY, errors, go))
    generator = names["produce"](CANARY, errors)
    next(generator)
    await anyio.wait_all_tasks_blocked()
    for error in errors:
        wipe_locals(error)
    go.set()

    assert await task == next(generator) == CANARY
    local_names = [
        names for error in errors for place, names in frames_of(error.__traceback__) if place.endswith(":fail")
    ]
    assert local_names == [{}, {}]


def test_the_watch_sees() -> None:
    """The watch over the whole suite finds a secret in a message, an attribute, a log record, an event and a local."""
    watch = Watch()
    error = EntraError(f"the secret is {CANARY}")
    watch.judge(error)
    marked = EntraError("no")
    vars(marked)["token"] = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJncmFwaCIsInRpZCI6IjEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    watch.judge(marked)
    watch.emit(logging.LogRecord("msal", logging.DEBUG, __file__, 1, "%s", (CANARY,), None))
    watch.on_event(RequestFinished("GET", f"https://graph.example/{CANARY}", 200, 0.1))
    code = compile("def fail(held):\n    raise ValueError", "a file", "exec")
    names: dict[str, Any] = {"__name__": "entra_async.example"}
    exec(code, names)
    with contextlib.suppress(ValueError):
        try:
            names["fail"](CANARY)
        except ValueError as failure:
            watch.judge(failure)
            raise

    assert {"EntraError", "log of msal", "event RequestFinished", "entra_async.example:fail: held"} <= set(watch.leaks)


def test_a_token_is_not_pickled() -> None:
    """A token refuses to be pickled, and its repr shows only what it is for."""
    token = Token("canary.canary.canary", 1)

    assert "canary" not in repr(token)
    assert "canary" not in f"{token}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        lambda token: json.dumps({"token": token}, indent=2),
        msgspec.json.encode,
        msgspec.to_builtins,
        vars,
        list,
        tuple,
        pprint.pformat,
        lambda token: token[:1],
        lambda token: token[-2],
        lambda token: [*token],
        lambda token: token._asdict(),
        lambda token: "%s %s" % token,  # noqa: UP031 - what old logging code does
        tuple.__repr__,
    ],
)
def test_a_token_is_not_written_out(write: Callable[[Token], object]) -> None:
    """It is a tuple, since azure-core's is; what writes out tuples does not find the secret in it."""
    token = Token("canary.canary.canary", 1)

    assert "canary" not in str(write(token))


def test_a_token_is_what_azure_core_says() -> None:
    """It is read and compared as azure-core's own: by attribute, and by the index that ODBC programs use."""
    token, other = Token("a", 1), AccessToken("a", 1)

    assert isinstance(token, AccessToken)
    assert (token.token, token.expires_on, token[0], token[1], len(token)) == ("a", 1, "a", 1, 2)
    assert token == other
    assert other == token
    assert hash(token) == hash(other)
    assert len({token, other, Token("b", 1), Token("a", 2)}) == 3
    assert token != Token("b", 1)
    assert token != ("a", 1)


def test_providers_show_no_secret() -> None:
    """A provider's repr leaves the secret out."""
    provider = ClientSecret(
        client_id="11111111-1111-1111-1111-111111111111", tenant_id="contoso.com", client_secret=CANARY
    )

    assert CANARY not in repr(provider)
    assert pickle.loads(pickle.dumps(provider)) == provider


@pytest.mark.parametrize(
    ("token", "claims"),
    [("opaque", {}), ("a.b", {}), ("a.!!.c", {}), ("a.W10.c", {}), ("a.eyJhdWQiOiJ4In0.c", {"aud": "x"}), ("..", {})],
)
def test_claims_of_any_token(token: str, claims: dict[str, Any]) -> None:
    """A token that is no JWT has no claims, and nothing raises."""
    read = Token(token, 1)

    assert dict(read.claims) == claims
    assert read.audience == claims.get("aud")
    assert (read.tenant_id, read.client_id, read.scopes) == (None, None, ())


def test_public_names() -> None:
    """Every public name can be had, and has a docstring."""
    for name in entra_async.__all__:
        value = getattr(entra_async, name)
        assert name == "__version__" or value.__doc__
