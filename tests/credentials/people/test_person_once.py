"""A user signs in once, not at every start; a background renewal causes no user interaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from entra_async import DeviceCode, MemoryStore, SQLiteStore, UsernamePassword
from tests.support.people import browser, sign_ins

if TYPE_CHECKING:
    from pathlib import Path

    from entra_async import TokenStore
    from entra_async.testing import Emulator

KEY = bytes(range(32))
DAY_S = 86_400


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> TokenStore:
    if request.param == "memory":
        return MemoryStore(now=emulator.clock.now)
    return SQLiteStore(tmp_path / "tokens.db", key=KEY)


def grants(emulator: Emulator) -> list[str]:
    """Return the grant types of the token requests since the record was cleared."""
    return [request.form["grant_type"] for request in emulator.token_requests]


async def test_the_next_start_needs_no_sign_in(emulator: Emulator, store: TokenStore) -> None:
    """A new Session with the same store begins with the stored token, without any request."""
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
    emulator.requests.clear()
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
        me = await session.invoke("me")

    assert me["userPrincipalName"] == emulator.user.user_principal_name
    assert grants(emulator) == []


async def test_another_service_and_another_day_need_the_refresh_token_only(emulator: Emulator) -> None:
    """When the access token has expired, or is for another service, the stored refresh token brings the next."""
    store = MemoryStore(now=emulator.clock.now)
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
    for number in range(3):
        emulator.clock.move(30 * DAY_S)
        emulator.requests.clear()
        async with emulator.session(store=store) as session:
            await session.connect(browser(emulator), service="Azure" if number == 1 else "Graph")
        assert grants(emulator) == ["refresh_token"]


async def test_a_revoked_refresh_token_is_replaced(emulator: Emulator) -> None:
    """The sessions were revoked: the user signs in once, and the next start needs no interaction."""
    store = MemoryStore(now=emulator.clock.now)
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
    emulator.revoke_sessions(emulator.user)
    emulator.browser.forget()
    emulator.clock.move(2 * DAY_S)
    emulator.requests.clear()
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
    assert grants(emulator) == ["refresh_token", "authorization_code"]
    emulator.clock.move(2 * DAY_S)
    emulator.requests.clear()
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))

    assert grants(emulator) == ["refresh_token"]


async def test_disconnecting_requires_a_new_sign_in(emulator: Emulator, store: TokenStore) -> None:
    """Closing a Session keeps the stored sign-in, disconnecting deletes it."""
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))
        await session.disconnect()
    emulator.requests.clear()
    async with emulator.session(store=store) as session:
        await session.connect(browser(emulator))

    assert sign_ins(emulator) == 1


async def test_each_user_has_a_sign_in_of_their_own(emulator: Emulator, store: TokenStore) -> None:
    """What is stored for one login hint, application or tenant is not used for another."""
    grace = emulator.add_user("grace")
    names = []
    for user in (emulator.user, grace, emulator.user, grace):

        async def opener(link: str, user: Any = user) -> None:
            emulator.browser.forget()
            await emulator.browser.sign_in(link, user)

        async with emulator.session(store=store) as session:
            provider = browser(emulator, opener=opener, login_hint=user.user_principal_name)
            await session.connect(provider)
            names.append((await session.invoke("me"))["userPrincipalName"])

    assert names == [emulator.user.user_principal_name, grace.user_principal_name] * 2
    assert sign_ins(emulator) == 2


async def test_a_prompt_signs_in_each_time(emulator: Emulator, store: TokenStore) -> None:
    """`prompt="login"` requests interaction, so nothing is stored."""
    for _ in range(2):
        async with emulator.session(store=store) as session:
            await session.connect(browser(emulator, prompt="login"))

    assert sign_ins(emulator) == 2


async def test_two_starts_at_once_sign_in_once(emulator: Emulator) -> None:
    """Two Sessions that both lack a sign-in: one opens the browser, the other waits and uses its refresh token."""
    store = MemoryStore(now=emulator.clock.now)

    async def start(service: str) -> None:
        async with emulator.session(store=store) as session:
            await session.connect(browser(emulator), service=service)

    async with anyio.create_task_group() as group:
        group.start_soon(start, "Graph")
        group.start_soon(start, "Azure")

    assert sign_ins(emulator) == 1
    assert sorted(grants(emulator)) == ["authorization_code", "refresh_token"]


async def test_a_device_code_is_shown_once(emulator: Emulator) -> None:
    """A device code behaves as the browser does."""
    store = MemoryStore(now=emulator.clock.now)
    shown: list[str] = []

    async def prompt(prompt: Any) -> None:
        shown.append(prompt.user_code)
        await emulator.browser.enter_device_code(prompt.user_code)

    for _ in range(2):
        provider = DeviceCode(client_id=emulator.public_app.client_id, tenant_id=emulator.tenant_id, prompt=prompt)
        async with emulator.session(store=store) as session:
            await session.connect(provider)
        emulator.clock.move(2 * DAY_S)

    assert len(shown) == 1


async def test_a_background_renewal_opens_no_browser(emulator: Emulator) -> None:
    """The refresh token is revoked, the access token valid: the browser opens only when that has expired."""
    opened: list[str] = []

    async def opener(link: str) -> None:
        opened.append(link)
        emulator.browser.forget()
        await emulator.browser.sign_in(link)

    async with emulator.session() as session:
        graph = await session.connect(browser(emulator, opener=opener))
        emulator.user.revoke_sessions(now=emulator.clock.now())  # the refresh token only
        assert graph.token is not None
        emulator.clock.move(0.85 * (graph.token.expires_on - emulator.clock.now()))
        first = await graph.get_token()
        await anyio.wait_all_tasks_blocked()
        while session.token_stats.failures == 0:
            await anyio.lowlevel.checkpoint()
        assert await graph.get_token() is first
        assert len(opened) == 1
        emulator.clock.move(first.expires_on - emulator.clock.now())
        assert await graph.get_token() is not first

    assert len(opened) == 2


async def test_a_password_needs_no_interaction(emulator: Emulator) -> None:
    """A background renewal may use the password, since that causes no user interaction."""
    provider = UsernamePassword(
        client_id=emulator.public_app.client_id,
        tenant_id=emulator.tenant_id,
        username=emulator.user.user_principal_name,
        password=emulator.user.password,
    )
    async with emulator.session() as session:
        graph = await session.connect(provider)
        emulator.user.revoke_sessions(now=emulator.clock.now())
        token = await graph.account.source.get_token_silently("https://graph.microsoft.com/.default")  # type: ignore[attr-defined]

    assert token.token
