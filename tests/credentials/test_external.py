"""Signing in with what is not ours: any credential, sync or async, any callable, and what they may return."""

from __future__ import annotations

import asyncio
import functools
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import azure.identity
import azure.identity.aio
import jwt
import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo

from entra_async import Session, Token
from entra_async.cli.stall import StallMeter
from entra_async.credentials.external import ExternalCredential
from entra_async.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialUnavailableError,
    InteractionRequiredError,
)
from entra_async.testing import Emulator

CANARY = "canary-5ecret-value-of-forty-characters-and-more"
SCOPE = "https://graph.microsoft.com/.default"
TENANT = "11111111-1111-1111-1111-111111111111"


def make_jwt(**claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 3600, **claims}, "a key of thirty-two bytes or more", "HS256")


def later() -> int:
    return int(time.time()) + 3600


async def ask(credential: Any, **options: Any) -> Token:
    """Return the token of a connection that signs in with the credential."""
    async with Session() as session:
        connection = await session.connect(ExternalCredential(credential=credential))
        return await connection.get_token(**options)


def azure_options(emulator: Emulator) -> dict[str, Any]:
    return {
        "tenant_id": emulator.tenant_id,
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "authority": emulator.authority,
        "disable_instance_discovery": True,
        "connection_verify": str(emulator.ca_file),
    }


async def test_azure_identity_aio_signs_in(emulator: Emulator) -> None:
    """A credential of azure-identity's aio is used as it is, called once for any number of calls, and not closed."""
    options = {**azure_options(emulator), "transport": _transport(emulator)}
    del options["connection_verify"]
    async with azure.identity.aio.ClientSecretCredential(**options) as credential:
        async with emulator.session() as session:
            await session.connect(ExternalCredential(credential=credential))
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(session.invoke, "users/ada@contoso.com")
        # Still usable: it belongs to whoever made it.
        assert (await credential.get_token("https://vault.azure.net/.default")).token

    assert len(emulator.token_requests) == 2


def _transport(emulator: Emulator) -> Any:
    import aiohttp
    from azure.core.pipeline.transport import AioHttpTransport

    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
    return AioHttpTransport(session=aiohttp.ClientSession(connector=connector))


async def test_sync_azure_identity_runs_in_a_thread(emulator: Emulator) -> None:
    """A sync credential of azure-identity signs in from a thread: the loop is not held up."""
    options = azure_options(emulator)
    credential = await anyio.to_thread.run_sync(lambda: azure.identity.ClientSecretCredential(**options))
    emulator.faults.add("/*/token", delay_s=0.3)
    meter = StallMeter()
    async with emulator.session() as session, anyio.create_task_group() as watch:
        watch.start_soon(meter.run)
        await session.connect(ExternalCredential(credential=credential))
        user = await session.invoke("users/ada@contoso.com")
        watch.cancel_scope.cancel()
    await anyio.to_thread.run_sync(credential.close)

    assert user["givenName"] == "Ada"
    assert meter.longest_s < 0.25


class Recorder:
    """A credential of the older protocol that records its calls."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        return AccessToken("opaque", later())


class InfoRecorder(Recorder):
    """One that speaks the newer protocol, too, and is sync there."""

    def get_token_info(self, *scopes: str, options: dict[str, Any] | None = None) -> AccessTokenInfo:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append((scopes, options or {}))
        return AccessTokenInfo("newer", later(), token_type="pop", refresh_on=later() - 60)


async def test_the_newer_protocol_is_preferred() -> None:
    """`get_token_info` is used when there is one; its refresh time and type are kept."""
    credential = InfoRecorder()
    token = await ask(credential, claims="{}", tenant_id=TENANT, enable_cae=True)

    assert (token.token, token.token_type) == ("newer", "pop")
    assert token.refresh_on == token.expires_on - 60
    assert credential.asked == [
        ((SCOPE,), {"enable_cae": True}),
        ((SCOPE,), {"claims": "{}", "tenant_id": TENANT, "enable_cae": True}),
    ]


async def test_the_older_protocol_gets_what_was_asked_and_no_more() -> None:
    """A credential gets enable_cae, and nothing else that the caller did not request."""
    credential = Recorder()
    token = await ask(credential, enable_cae=True)

    assert token.token == "opaque"
    assert credential.asked == [((SCOPE,), {"enable_cae": True})]


async def test_a_connection_is_a_credential_for_another_session(emulator: Emulator) -> None:
    """A connection of one Session signs another one in, and its token stays what it is."""
    async with emulator.session() as first, emulator.session() as second:
        connection = await first.connect(emulator.client_secret)
        other = await second.connect(ExternalCredential(credential=connection))
        assert await other.get_token() is await connection.get_token()

    assert len(emulator.token_requests) == 1


async def _async_callable() -> str:
    await anyio.lowlevel.checkpoint()
    return make_jwt(aud="https://graph.microsoft.com")


def _awaitable() -> Any:
    return _async_callable()


def _sync_callable(scope: str) -> AccessToken:
    time.sleep(0.001)  # blocks: it must run in a thread
    return AccessToken(scope, later())


def _many(*scopes: str, tenant_id: str | None = None) -> dict[str, Any]:
    return {"access_token": "+".join((*scopes, str(tenant_id))), "expires_in": "3600"}


class _Callable:
    async def __call__(self, scope: str, /, *, claims: str | None = None) -> str:
        return make_jwt(aud=scope)


@pytest.mark.parametrize(
    ("function", "start"),
    [
        (_async_callable, "ey"),
        (_sync_callable, SCOPE),
        (_many, f"{SCOPE}+None"),
        (_Callable(), "ey"),
        (functools.partial(_sync_callable, "fixed"), "fixed"),
        (_awaitable, "ey"),
        (lambda cache=True: AccessToken(f"{cache}", later()), "True"),
    ],
)
async def test_any_callable_signs_in(function: Callable[..., Any], start: str) -> None:
    """A callable is called as its parameters say: with nothing, the scope, or all scopes; sync ones in a thread."""
    assert (await ask(function)).token.startswith(start)


async def test_a_callable_is_given_the_options_it_names() -> None:
    """`tenant_id` and `claims` reach a callable that names them; claims it cannot request are an error with them."""
    assert (await ask(_many, tenant_id=TENANT)).token == f"{SCOPE}+{TENANT}"
    assert (await ask(_Callable(), claims="{}")).audience == SCOPE
    with pytest.raises(InteractionRequiredError, match="further claims") as caught:
        await ask(_async_callable, claims="{}")
    assert caught.value.claims == "{}"


async def test_a_token_of_another_tenant_is_not_returned() -> None:
    """A token that names another tenant than the requested one is refused, whatever returned it."""
    with pytest.raises(AuthenticationError, match=TENANT):
        await ask(lambda: make_jwt(tid=TENANT), tenant_id=TENANT.replace("1", "2"))
    assert (await ask(lambda: make_jwt(tid=TENANT), tenant_id=TENANT)).tenant_id == TENANT


@pytest.mark.parametrize(
    "result",
    [
        {"access_token": "t", "expires_in": 3600},
        {"access_token": "t", "expires_on": str(later())},
        {"accessToken": "t", "expires_on": later() + 0.5, "tokenType": "Bearer"},
        {"token": "t", "expires_on": later(), "refresh_on": later() - 10},
        AccessToken("t", later()),
        AccessTokenInfo("t", later()),
        Token("t", later()),
    ],
)
async def test_what_a_callable_may_return(result: Any) -> None:
    """Each usual shape of a token is understood."""
    token = await ask(lambda: result)

    assert token.token == "t"
    assert 3000 < token.expires_on - time.time() < 3610  # some were made when the tests were collected
    assert token.token_type == "Bearer"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "The token of NoneType is empty"),
        ("", "empty"),
        (CANARY, r"\(exp\) is None"),
        (f"Bearer {CANARY}", "blank"),
        (b"token", "The token of bytes is empty"),
        ({"access_token": CANARY}, "expires_on is None"),
        ({"access_token": CANARY, "expires_on": later() * 1000}, "expires_on is"),
        ({"expires_in": 1}, "access_token is empty"),
        (AccessToken(1, CANARY), "is a int, not a str"),  # type: ignore[arg-type]
        (AccessToken("t", CANARY), "expires_on is no number"),  # type: ignore[arg-type]
        (AccessToken("t", int(time.time()) - 1), "has expired"),
        (Token("t", 1), "has expired"),
    ],
)
async def test_what_is_no_token_is_refused(result: Any, text: str) -> None:
    """What can't be a token, or has no life left, is a typed error that does not repeat it."""
    with pytest.raises(AuthenticationError, match=text) as caught:
        await ask(lambda: result)

    assert CANARY not in f"{caught.value}{vars(caught.value)}"
    assert caught.value.hint


async def test_an_error_response_of_msal_is_explained() -> None:
    """A callable around MSAL may return MSAL's error dict: it becomes the error that its code means."""
    answer = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
    with pytest.raises(AuthenticationError) as caught:
        await ask(lambda: answer)

    assert (caught.value.code, caught.value.error) == ("AADSTS7000215", "invalid_client")


async def test_what_a_credential_raises_is_translated(emulator: Emulator) -> None:
    """Its errors become ours with the cause kept: a code is explained, an absent credential is told apart."""
    options = {**azure_options(emulator), "client_secret": "wrong"}
    wrong = await anyio.to_thread.run_sync(lambda: azure.identity.ClientSecretCredential(**options))
    with pytest.raises(AuthenticationError) as caught:
        await ask(wrong)
    await anyio.to_thread.run_sync(wrong.close)
    assert caught.value.code == "AADSTS7000215"
    assert caught.value.__cause__ is not None

    def absent() -> str:
        raise azure.identity.CredentialUnavailableError(message=f"No account. {CANARY}")

    with pytest.raises(CredentialUnavailableError, match="No account") as unavailable:
        await ask(absent)
    assert CANARY not in f"{unavailable.value}{vars(unavailable.value)}"


async def test_cancelling_leaves_a_sync_credential_behind() -> None:
    """A sync credential that hangs holds up neither a cancelled caller nor the loop; its thread ends by itself."""
    begun, release = threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        release.wait(10)
        return make_jwt()

    try:
        async with Session() as session:
            started = time.monotonic()
            async with anyio.create_task_group() as group:
                group.start_soon(session.connect, ExternalCredential(credential=hang))
                while not begun.is_set():
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()
            assert time.monotonic() - started < 2
    finally:
        release.set()


async def test_a_time_limit_ends_the_wait() -> None:
    """A credential that never returns ends at its limit, async or not."""
    for credential in (anyio.sleep_forever, threading.Event().wait):
        async with Session() as session:
            with pytest.raises(AuthenticationError, match=r"no answer within 0\.05 s"):
                await session.connect(ExternalCredential(credential=_hanging(credential), timeout_s=0.05))


def _hanging(wait: Callable[..., Any]) -> Callable[[], Any]:
    return wait if asyncio.iscoroutinefunction(wait) else functools.partial(wait, 0.5)


@pytest.mark.parametrize(
    "values",
    [
        {"credential": "token"},
        {"credential": None},
        {"credential": Recorder},
        {"credential": lambda first, second: None},
        {"credential": lambda *, scope: None},
        {"credential": _async_callable, "timeout_s": 0},
    ],
)
def test_what_can_give_no_token_is_refused(values: dict[str, Any]) -> None:
    """What is neither credential nor callable, a class, or a callable that needs more, is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        ExternalCredential(**values)

    assert caught.value.hint


async def test_the_same_credential_is_one_account() -> None:
    """Two connections with the same object share its tokens, even if it cannot be hashed; another one is another."""

    class Unhashable(Recorder):
        __hash__ = None  # type: ignore[assignment]

    credential = Unhashable()
    assert ExternalCredential(credential=credential) == ExternalCredential(credential=credential)
    assert ExternalCredential(credential=credential) != ExternalCredential(credential=Unhashable())
    async with Session() as session:
        await session.connect(ExternalCredential(credential=credential))
        await session.connect(ExternalCredential(credential=credential), service="GraphBeta")

    assert len(credential.asked) == 1


def test_it_is_pickled_as_far_as_its_credential_is() -> None:
    """A callable that can be pickled makes a provider that can be, and its repr shows nothing of it."""
    loaded = pickle.loads(pickle.dumps(ExternalCredential(credential=_sync_callable)))

    assert loaded == ExternalCredential(credential=_sync_callable)
    assert repr(loaded) == "ExternalCredential(timeout_s=360.0)"
