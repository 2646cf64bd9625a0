"""The redirect to the loopback listener and its pages: the right response counts, every other one gets a page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
from typing import Any
from urllib.parse import urlencode

import aiohttp
import anyio
import pytest

from entra_async.credentials.interactive.pages import failed_page, not_found_page, refused_page, signed_in_page
from entra_async.errors import AuthenticationError, ConsentRequiredError
from entra_async.testing import Emulator
from tests.support.people import Person, browser, read_link, sign_ins


async def test_declining_on_the_page(emulator: Emulator) -> None:
    """A user who declines the consent gets a page that says so, and the program a typed error."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], delegated=["User.Read"])
    pages: list[str] = []

    async def opener(link: str) -> None:
        pages.append(await emulator.browser.sign_in(link, decline=True))

    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(browser(emulator, client_id=app.client_id, opener=opener))

    assert caught.value.error == "access_denied"
    assert "The sign-in did not work" in pages[0]
    assert "What to do" in pages[0]


async def test_the_pages_for_the_user(emulator: Emulator) -> None:
    """The last page says that it worked."""
    pages: list[str] = []

    async def opener(link: str) -> None:
        pages.append(await emulator.browser.sign_in(link))

    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=opener))

    assert "You are signed in" in pages[0]


def test_the_pages_load_nothing() -> None:
    """Every page is complete in itself, works in the dark, and its policy allows its own style and nothing else."""
    error = AuthenticationError("It failed.", hint="Do this.", correlation_id="0a-1b")
    for page in (signed_in_page(), failed_page(error), refused_page(), not_found_page()):
        (style,) = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

        assert f"style-src 'sha256-{digest}'" in page.policy
        assert "default-src 'none'" in page.policy
        assert "prefers-color-scheme: dark" in style
        assert not re.search(r"<script|<link|src=|href=|style=|url\(|@import", page.html)


async def test_an_error_on_the_page_is_escaped(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """What a service says is shown as text, whatever is in it."""
    person = Person()
    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(browser(emulator, opener=person.open)))
        await person.came.wait()
        _, page = await person.visit(http, error="server_error", error_description="<script>alert(1)</script>")
        with pytest.raises(AuthenticationError):
            await task

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_a_wrong_state_is_refused_and_waiting_goes_on(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A response that belongs to no sign-in, and any other path, gets a page; the right response still counts."""
    seen: list[tuple[int, str]] = []

    async def opener(link: str) -> None:
        where = read_link(link)["redirect_uri"]
        state = read_link(link)["state"]
        for method, url, fields in (
            ("POST", where, {"code": "stolen", "state": "wrong"}),
            ("POST", where, {"code": "stolen"}),
            ("POST", where, {"state": state}),
            ("GET", f"{where}/?{urlencode({'error': 'access_denied', 'state': 'wrong'})}", None),
            ("GET", where, None),
            ("GET", f"{where}/favicon.ico", None),
            ("POST", f"{where}/elsewhere", {"code": "stolen", "state": state}),
        ):
            async with http.request(method, url, data=fields) as response:
                seen.append((response.status, await response.text()))
        await emulator.browser.sign_in(link)

    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=opener))

    assert [status for status, _ in seen] == [400, 400, 400, 400, 400, 404, 404]
    assert "still waiting" in seen[0][1]
    assert sign_ins(emulator) == 1


async def test_a_response_in_the_query(emulator: Emulator) -> None:
    """The response_mode is form_post, but a response in the query is understood, too."""

    async def opener(link: str) -> None:
        await emulator.browser.sign_in(link.replace("response_mode=form_post", "response_mode=query"))

    async with emulator.session() as session:
        await session.connect(browser(emulator, opener=opener))

    assert sign_ins(emulator) == 1


async def test_a_second_hit_is_harmless(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A browser that sends its response twice gets the same page twice, and only the first one counts."""
    person = Person()
    answers: list[tuple[int, str]] = []

    async def come_back(description: str) -> None:
        answers.append(await person.visit(http, error="access_denied", error_description=description))

    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(browser(emulator, opener=person.open)))
        await person.came.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(come_back, "AADSTS65004: declined")
            group.start_soon(come_back, "AADSTS65004: declined")
        with pytest.raises(ConsentRequiredError):
            await task

    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert answers[0][0] == 200


async def test_a_code_that_is_refused(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """When Entra ID refuses the code, the user's page and the error say why."""
    person = Person()
    async with emulator.session() as session:
        task = asyncio.ensure_future(session.connect(browser(emulator, opener=person.open)))
        await person.came.wait()
        _, page = await person.visit(http, code="no-code-of-this-tenant")
        with pytest.raises(AuthenticationError) as caught:
            await task

    assert caught.value.error == "invalid_grant"
    assert str(caught.value.code) in page
    assert "no-code-of-this-tenant" not in page


async def test_no_secret_in_any_log(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, no code, verifier, refresh token or access token is written anywhere."""
    caplog.set_level(logging.DEBUG)
    async with emulator.session() as session:
        graph, azure = await session.connect(browser(emulator), service=["Graph", "Azure"])
        source: Any = graph.account.source
        secrets = [source.shareable, (await graph.get_token()).token, (await azure.get_token()).token]
        shown = repr(graph) + repr(source) + repr(graph.account) + repr(session)
    logged = shown + "".join(
        record.getMessage() + str(record.exc_text)
        for record in caplog.records
        if record.name.partition(".")[0] in {"entra_async", "msal"}
    )

    assert all(secrets)
    assert not [secret for secret in secrets if secret in logged]
    assert not re.search(r"\"(code|code_verifier)\": \"[^*]", logged)
