"""Secrets appear nowhere: not in logs at DEBUG, reprs, errors, tracebacks or pickles."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import entra_async
from entra_async import ClientSecret, Token
from entra_async.errors import EntraError
from entra_async.telemetry import Exchange
from entra_async.testing import Emulator
from tests.virtual_clock import VirtualClock

CANARY = "canary-5ecret-value"
QUERY = "canary-query"


def everything_about(error: BaseException) -> str:
    """Return all a log would show of an error: the chain of tracebacks with their locals, repr and arguments."""
    formatted = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return formatted + "".join(f"{link!r}{link.args!r}{vars(link)!r}" for link in chain)


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
    events: list[Exchange] = []
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
            seen += [everything_about(error), repr(pickle.dumps(error))]
    # The emulator's own server logs the requests it gets; what is judged is this side.
    records = [record for record in caplog.records if not record.name.startswith("aiohttp")]
    seen += [record.getMessage() + str(record.args) + str(record.exc_text) for record in records]
    seen += [repr(event) for event in events]

    assert events
    assert any(record.name.startswith("msal") for record in caplog.records)
    for secret in (CANARY, QUERY, *tokens):
        assert not [text for text in seen if secret in text]


def test_a_token_is_not_pickled() -> None:
    """A token refuses to be pickled, and its repr shows only what it is for."""
    token = Token("canary.canary.canary", 1)

    assert "canary" not in repr(token)
    assert "canary" not in f"{token}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)


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
