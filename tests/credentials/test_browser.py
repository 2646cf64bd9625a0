"""Signing in with a browser: one sign-in for every service, and nothing left behind."""

from __future__ import annotations

import asyncio
import pickle
import re
import socket
import threading
import time
import webbrowser
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest

from entra_async import Session
from entra_async.cli.stall import StallMeter
from entra_async.credentials.browser import Browser
from entra_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConsentRequiredError,
    CredentialUnavailableError,
    InteractionRequiredError,
)
from entra_async.testing import Emulator
from tests.support.people import Person, browser, is_free, read_link, sign_ins

CLIENT = "11111111-1111-1111-1111-111111111111"


async def test_sign_in(emulator: Emulator) -> None:
    """The user signs in on the page, and the token is theirs."""
    async with emulator.session() as session:
        connection = await session.connect(browser(emulator))
        me = await session.invoke("me")

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert connection.name == "Graph"
    assert sign_ins(emulator) == 1


async def test_what_is_sent(emulator: Emulator) -> None:
    """The authorization request has PKCE, state, nonce, form_post and the redirect URI."""
    links: list[str] = []

    async def opener(link: str) -> None:
        links.append(link)
        await emulator.browser.sign_in(link)

    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=opener, prompt="login", login_hint=f"ada@{emulator.domain}"))
    asked = read_link(links[0])

    assert asked["response_type"] == "code"
    assert asked["response_mode"] == "form_post"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert asked["state"]
    assert asked["nonce"]
    assert asked["prompt"] == "login"
    assert asked["login_hint"] == f"ada@{emulator.domain}"
    assert re.fullmatch(r"http://localhost:\d+", asked["redirect_uri"])
    assert {"openid", "profile", "offline_access"} < {*asked["scope"].split()}


async def test_one_sign_in_serves_several_services(emulator: Emulator) -> None:
    """The second service's token comes from the refresh token, without interaction; and so does each renewal."""
    async with emulator.session() as session:
        graph, azure = await session.connect(browser(emulator), service=["Graph", "Azure"])
        assert (graph.token and graph.token.audience) != (azure.token and azure.token.audience)
        first = await graph.get_token()
        emulator.clock.move(29 * 3600)
        second = await graph.get_token()

    assert first.token != second.token
    assert sign_ins(emulator) == 1
    assert len(emulator.token_requests) == 3


async def test_concurrent_connects_are_one_sign_in(emulator: Emulator) -> None:
    """However many services are connected at once, the user signs in once."""
    provider = browser(emulator)
    async with emulator.session() as session, anyio.create_task_group() as group:
        for service in ("Graph", "GraphBeta", "Azure", "Endpoint", "AzureKeyVault"):
            group.start_soon(partial(session.connect, provider, service=service))

    assert sign_ins(emulator) == 1


async def test_who_declines_is_not_asked_by_every_service(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """When the user declines, every caller that waited for that sign-in gets the error, and no second browser opens."""
    person = Person()
    provider = browser(emulator, opener=person.open)
    errors: list[AuthenticationError] = []

    async def connect(session: Session, service: str) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(provider, service=service)
        errors.append(caught.value)

    async with emulator.session() as session, anyio.create_task_group() as group:
        for service in ("Graph", "Azure", "Endpoint"):
            group.start_soon(connect, session, service)
        await person.came.wait()
        await anyio.wait_all_tasks_blocked()
        await person.visit(http, error="access_denied", error_description="AADSTS65004: User declined to consent.")

    assert len(errors) == 3
    assert {error.code for error in errors} == {"AADSTS65004"}
    assert all(isinstance(error, ConsentRequiredError) for error in errors)


async def test_nobody_comes_back(emulator: Emulator) -> None:
    """A tab that is closed ends in an error when the time is up, and the port is free again."""
    person = Person()
    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(browser(emulator, opener=person.open, timeout_s=120)))
        await person.came.wait()
        await anyio.wait_all_tasks_blocked()
        emulator.clock.move(121)
        with pytest.raises(InteractionRequiredError, match="within 120 s") as caught:
            await task

    assert caught.value.hint
    assert is_free(urlsplit(read_link(person.link)["redirect_uri"]).port or 0)


@pytest.mark.parametrize("step", ["before the browser is back", "while the code is redeemed"])
@pytest.mark.parametrize("how", ["anyio", "asyncio"])
async def test_cancelling_frees_the_port(emulator: Emulator, step: str, how: str) -> None:
    """A sign-in that is cancelled leaves no port, no task and no thread at work, and is done within a second."""
    tasks = asyncio.all_tasks()
    person = Person()
    background: list[asyncio.Task[Any]] = []
    if step == "while the code is redeemed":
        emulator.faults.add("/*/oauth2/v2.0/token", times=None, delay_s=3600)

    async def opener(link: str) -> None:
        await person.open(link)
        if step == "while the code is redeemed":
            background.append(asyncio.ensure_future(emulator.browser.sign_in(link)))

    async with emulator.session() as session:
        with anyio.CancelScope() as scope:
            task = asyncio.ensure_future(session.connect(browser(emulator, opener=opener)))
            await person.came.wait()
            if step == "while the code is redeemed":
                await emulator.requests.wait_for(1, path=f"/{emulator.tenant_id}/oauth2/v2.0/token")
            port = urlsplit(read_link(person.link)["redirect_uri"]).port or 0
            assert not is_free(port)
            started = time.monotonic()
            task.cancel()
            if how == "anyio":
                scope.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with anyio.fail_after(1):
            while not is_free(port) or any(each.get_name() == "entra_async token" for each in asyncio.all_tasks()):
                await anyio.lowlevel.checkpoint()
        assert time.monotonic() - started < 1
    for each in background:
        each.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    with anyio.fail_after(2):
        while [each for each in asyncio.all_tasks() - tasks if "entra_async" in each.get_name()]:
            await anyio.lowlevel.checkpoint()


async def test_an_opener_that_fails(emulator: Emulator) -> None:
    """What goes wrong in the opener ends the sign-in at once, as a typed error with the cause."""

    def opener(link: str) -> None:
        raise RuntimeError("no display")

    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="no display") as caught:
            await session.connect(browser(emulator, opener=opener))

    assert isinstance(caught.value.__cause__, RuntimeError) or caught.value.__cause__ is not None


async def test_no_browser_on_this_machine(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a browser the sign-in fails at once, and the error names the ways that work without one."""
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match=emulator.authority) as caught:
            await session.connect(browser(emulator, opener=None))

    assert caught.value.hint is not None
    assert "print_link" in caught.value.hint
    assert "DeviceCode" in caught.value.hint
    assert "state=" not in str(caught.value)


async def test_the_default_browser(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default browser is opened in a worker thread: some return only when they are closed."""
    loop = asyncio.get_running_loop()
    threads: list[threading.Thread] = []

    def open_browser(link: str) -> bool:
        threads.append(threading.current_thread())
        asyncio.run_coroutine_threadsafe(emulator.browser.sign_in(link), loop).result(10)
        return True

    monkeypatch.setattr(webbrowser, "open", open_browser)
    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=None))

    assert threads != [threading.main_thread()]


async def test_printing_the_link(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """print_link shows the link on stderr and waits for a browser that somebody opens by hand."""
    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(browser(emulator, opener=None, mode="print_link")))
        printed = ""
        with anyio.fail_after(5):
            while not (found := re.search(r"https://\S+", printed)):
                printed += capsys.readouterr().err
                await anyio.lowlevel.checkpoint()
        await emulator.browser.sign_in(found[0])
        connection = await task
        assert connection.token is not None


@pytest.mark.parametrize(
    ("redirect_uri", "sent"),
    [("http://localhost/back", "http://localhost:{port}/back"), ("http://localhost:{port}/a/b", None), (None, None)],
)
async def test_redirect_uri_and_port(emulator: Emulator, redirect_uri: str | None, sent: str | None) -> None:
    """The path is kept, a port is filled in where there is none, and port= says where to listen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = redirect_uri and redirect_uri.format(port=port)
    app = emulator.register_app(
        public_client=True,
        redirect_uris=["http://localhost", "http://localhost/back", "http://localhost/a/b"],
        delegated=["User.Read"],
    )
    links: list[str] = []

    async def opener(link: str) -> None:
        links.append(link)
        await emulator.browser.sign_in(link)

    provider = browser(
        emulator,
        client_id=app.client_id,
        redirect_uri=given,
        port=0 if redirect_uri and "{port}" in redirect_uri else port,
        opener=opener,
    )
    async with emulator.session() as session:
        await session.connect(provider)

    wanted = (sent or redirect_uri or "http://localhost:{port}").format(port=port)
    assert read_link(links[0])["redirect_uri"] == wanted


async def test_the_loop_runs_on(emulator: Emulator) -> None:
    """Neither MSAL nor the listener ever keeps the loop from its work."""
    meter = StallMeter()
    async with emulator.session() as session:
        await session.connect(emulator.client_secret, service="Azure")
        async with anyio.create_task_group() as group:
            group.start_soon(meter.run)
            await session.connect(browser(emulator))
            group.cancel_scope.cancel()

    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "client id": ({"client_id": "x"}, "client_id"),
    "tenant": ({"tenant_id": "no tenant"}, "tenant_id"),
    "one scope": ({"scopes": "User.Read"}, "scopes"),
    "scope with a blank": ({"scopes": ["User.Read Mail.Read"]}, "scopes"),
    "mode": ({"mode": "embedded"}, "mode"),
    "opener": ({"opener": "firefox"}, "opener"),
    "opener and print_link": ({"opener": print, "mode": "print_link"}, "opener"),
    "prompt": ({"prompt": "always"}, "prompt"),
    "login hint": ({"login_hint": "ada\r\nX: y"}, "login_hint"),
    "login hint and select_account": ({"login_hint": "ada@contoso.com", "prompt": "select_account"}, "login_hint"),
    "https": ({"redirect_uri": "https://localhost"}, "redirect_uri"),
    "another machine": ({"redirect_uri": "http://contoso.com"}, "redirect_uri"),
    "IPv6": ({"redirect_uri": "http://[::1]:80"}, "redirect_uri"),
    "query": ({"redirect_uri": "http://localhost/?a=b"}, "redirect_uri"),
    "user": ({"redirect_uri": "http://me@localhost"}, "redirect_uri"),
    "climbing path": ({"redirect_uri": "http://localhost/a/../b"}, "redirect_uri"),
    "address without port": ({"redirect_uri": "http://127.0.0.1"}, "redirect_uri"),
    "port 0": ({"redirect_uri": "http://localhost:0"}, "redirect_uri"),
    "bad port": ({"redirect_uri": "http://localhost:99999"}, "redirect_uri"),
    "negative port": ({"port": -1}, "port"),
    "port as text": ({"port": "8080"}, "port"),
    "no time": ({"timeout_s": 0}, "timeout_s"),
    "endless time": ({"timeout_s": float("inf")}, "timeout_s"),
    "no number": ({"timeout_s": float("nan")}, "timeout_s"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_refused_at_once(case: str) -> None:
    """Each malformed value, and each mix that contradicts itself, is an error that names the field."""
    changes, field = WRONG[case]
    with pytest.raises(ConfigurationError) as caught:
        Browser(**{"client_id": CLIENT, **changes})

    assert caught.value.field == field
    assert caught.value.hint


def test_a_provider_is_a_value() -> None:
    """A provider can be pickled and hashed, and lists become tuples."""
    values: dict[str, Any] = {"client_id": CLIENT, "scopes": ["User.Read"]}
    provider = Browser(**values)

    assert provider.tenant_id == "organizations"
    assert provider.scopes == ("User.Read",)
    assert hash(pickle.loads(pickle.dumps(provider))) == hash(provider)
