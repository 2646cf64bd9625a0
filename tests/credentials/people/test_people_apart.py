"""Two users, one configuration, one store: neither ever gets a token of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from entra_async import MemoryStore, RefreshToken, UsernamePassword
from entra_async.errors import InteractionRequiredError
from tests.support.people import Machine, browser, sign_ins, who

if TYPE_CHECKING:
    from entra_async import Connection
    from entra_async.testing import Emulator

DAY_S = 86_400
VAULT = "https://vault.azure.net/.default"


async def renew(machine: Machine, connection: Connection) -> None:
    """Let time pass until a token is renewed, and wait for that."""
    before = connection.token
    assert before is not None
    machine.emulator.clock.move(max(0, before.expires_on - machine.emulator.clock.now()))
    assert await connection.get_token() is not before


@pytest.fixture(params=["Browser", "DeviceCode"])
def machine(request: pytest.FixtureRequest, emulator: Emulator) -> Machine:
    return Machine(emulator, request.param)


async def test_a_sign_in_elsewhere_changes_no_user(machine: Machine) -> None:
    """Ada works on in one process while a user signs out and Grace signs in in another: each keeps her own."""
    async with machine.start() as one, machine.start() as two:
        ada = await one.connect(machine.provider)
        await two.connect(machine.provider)
        await two.disconnect()
        machine.user = machine.grace
        grace = await two.connect(machine.provider)
        for _ in range(3):
            await renew(machine, grace)
            await renew(machine, ada)
            assert (await who(ada), await who(grace)) == ("ada", "grace")
            assert (await who(ada, VAULT), await who(grace, VAULT)) == ("ada", "grace")

    assert machine.asked == 2


async def test_signing_out_leaves_no_token_to_the_next_user(machine: Machine) -> None:
    """Signing out at one service is enough: Grace finds no token of Ada's for any other one."""
    async with machine.start() as session:
        graph, _ = await session.connect(machine.provider, service=["Graph", "Azure"])
        await who(graph, VAULT)
    async with machine.start() as session:
        await session.connect(machine.provider)
        await session.disconnect()
    machine.user = machine.grace
    for _ in range(2):
        async with machine.start() as session:
            graph, azure = await session.connect(machine.provider, service=["Graph", "Azure"])
            assert [await who(graph), await who(azure), await who(graph, VAULT)] == ["grace"] * 3


async def test_in_one_session_the_next_user_starts_with_nothing(machine: Machine) -> None:
    """Disconnecting and connecting again in the same Session: also tokens of other scopes are the new user's."""
    async with machine.start() as session:
        graph = await session.connect(machine.provider)
        assert await who(graph, VAULT) == "ada"
        await session.disconnect()
        machine.user = machine.grace
        graph = await session.connect(machine.provider)
        assert [await who(graph), await who(graph, VAULT)] == ["grace", "grace"]


async def test_the_sessions_of_one_are_revoked_and_another_signs_in(machine: Machine) -> None:
    """Ada's refresh token is revoked, one of her tokens valid: Grace may sign in, but never gets that one."""
    async with machine.start() as session:
        graph = await session.connect(machine.provider)
        assert graph.token is not None
        machine.emulator.clock.move(graph.token.expires_on - machine.emulator.clock.now() - 600)
        await session.connect(machine.provider, service="Azure")
        machine.emulator.clock.move(660)
    machine.ada.revoke_sessions(now=machine.emulator.clock.now())
    machine.user = machine.grace
    async with machine.start() as session:
        with pytest.raises(InteractionRequiredError, match="Another user"):
            await session.connect(machine.provider, service=["Azure", "Graph"])
        graph, azure = await session.connect(machine.provider, service=["Graph", "Azure"])
        assert [await who(graph), await who(azure)] == ["grace", "grace"]


async def test_a_signed_out_user_is_not_stored_again(machine: Machine) -> None:
    """A Session that goes on after its user signed out elsewhere writes nothing to the store."""
    async with machine.start() as one, machine.start() as two:
        ada = await one.connect(machine.provider)
        await two.connect(machine.provider)
        await two.disconnect()
        for _ in range(2):
            await renew(machine, ada)
        machine.user = machine.grace
        async with machine.start() as three:
            assert await who(await three.connect(machine.provider)) == "grace"
            await renew(machine, ada)
        async with machine.start() as four:
            assert await who(await four.connect(machine.provider, service="Azure")) == "grace"


async def test_signing_out_ends_the_own_sign_in_only(machine: Machine) -> None:
    """Ada disconnects late, when Grace has signed in already: Grace does not sign in again."""
    async with machine.start() as one:
        await one.connect(machine.provider)
        async with machine.start() as two:
            await two.connect(machine.provider)
            await two.disconnect()
            machine.user = machine.grace
            await two.connect(machine.provider)
        await one.disconnect()
    async with machine.start() as session:
        assert await who(await session.connect(machine.provider)) == "grace"

    assert machine.asked == 2


async def test_the_same_user_again_shares_as_before(machine: Machine) -> None:
    """Ada signs out in one process and in again: the process that went on finds her new sign-in, and shares it."""
    async with machine.start() as one, machine.start() as two:
        ada = await one.connect(machine.provider)
        await two.connect(machine.provider)
        await two.disconnect()
        await two.connect(machine.provider)
        await renew(machine, ada)
        machine.emulator.requests.clear()
        async with machine.start() as three:
            assert await who(await three.connect(machine.provider)) == "ada"

    assert machine.emulator.token_requests == []
    assert machine.asked == 2


async def test_an_old_connection_keeps_nobody_signed_in(machine: Machine) -> None:
    """Ada connected twice and signs out; her first connection goes on, and Grace signs in as herself."""
    lending = replace(machine.provider, use_refresh_token=True, timeout_s=60)
    async with machine.start() as session:
        old = await session.connect(machine.provider)
        resource = await session.connect(machine.provider, resource="https://vault.azure.net")
        await session.connect(machine.provider)
        await session.disconnect()
        machine.user = machine.grace
        graph = await session.connect(machine.provider)
        assert [await who(graph), await who(graph, VAULT)] == ["grace", "grace"]
        assert [await who(old), await who(resource)] == ["ada", "ada"]
        await renew(machine, old)
        assert await who(await session.connect(lending, name="lent")) == "grace"
        assert [await who(old), await who(resource)] == ["ada", "ada"]


async def test_a_hint_is_no_proof(emulator: Emulator) -> None:
    """Grace signs in where Ada's name was filled in: her refresh token is never reused for Ada."""
    machine = Machine(emulator)
    name = machine.ada.user_principal_name
    hinted = replace(machine.provider, login_hint=name)
    machine.user = machine.grace
    async with machine.start() as session:
        await session.connect(hinted)
    async with machine.start() as session:
        assert await who(await session.connect(hinted)) == "grace"
        machine.user = machine.ada
        lent = replace(hinted, use_refresh_token=True, prompt="login")  # it keeps nothing in the store
        assert await who(await session.connect(lent, service="Azure")) == "ada"


async def test_a_reused_refresh_token_binds_the_connection(emulator: Emulator) -> None:
    """A connection that began with Ada's refresh token stays Ada's, also when Grace's is the newest later."""
    machine = Machine(emulator)
    async with machine.start() as session:
        await session.connect(machine.provider, name="own")
        lent = replace(machine.provider, use_refresh_token=True, port=0, timeout_s=60)
        borrower = await session.connect(lent, name="lent")
        machine.user = machine.grace
        await session.connect(replace(machine.provider, prompt="login"), name="grace")
        await renew(machine, borrower)
        assert [await who(borrower), await who(borrower, VAULT)] == ["ada", "ada"]
        assert await who(session.connection("grace")) == "grace"

    assert sign_ins(emulator) == 2


async def test_a_provider_that_names_its_user_is_stored_by_that(emulator: Emulator) -> None:
    """Passwords and refresh tokens identify their user: on one store each has its own, at every start."""
    machine = Machine(emulator)
    people = (machine.ada, machine.grace)
    passwords = [
        UsernamePassword(
            client_id=emulator.public_app.client_id,
            tenant_id=emulator.tenant_id,
            username=user.user_principal_name,
            password=user.password,
        )
        for user in people
    ]
    refresh_tokens = []
    for provider in passwords:
        async with emulator.session() as session:
            refresh_tokens.append(RefreshToken.of(await session.connect(provider)))
    for _ in range(3):
        for name, password, refresh_token in zip(("ada", "grace"), passwords, refresh_tokens, strict=True):
            for each in (password, refresh_token):
                async with machine.start() as session:
                    graph = await session.connect(each)
                    assert [await who(graph), await who(graph, VAULT)] == [name, name]
        emulator.clock.move(DAY_S)


async def test_a_refresh_token_lives_on_in_the_store(emulator: Emulator) -> None:
    """The provider's own expires, and the newer ones that replaced it are used at the next starts."""
    async with emulator.session() as session:
        provider = RefreshToken.of(await session.connect(browser(emulator)))
    store = MemoryStore(now=emulator.clock.now)
    for _ in range(3):
        emulator.clock.move(60 * DAY_S)
        async with emulator.session(store=store) as session:
            assert await who(await session.connect(provider)) == "ada"


async def test_the_providers_refresh_token_is_tried_last(emulator: Emulator) -> None:
    """The stored one was revoked, and the provider has a new one of the same name: that is a new start."""
    async with emulator.session() as session:
        provider = RefreshToken.of(await session.connect(browser(emulator)))
    store = MemoryStore(now=emulator.clock.now)
    async with emulator.session(store=store) as session:
        connection = await session.connect(provider)
        held = connection.account.source.shareable  # type: ignore[attr-defined]
    emulator.faults.add(
        f"/{emulator.tenant_id}/oauth2/v2.0/token",
        service="identity",
        status=400,
        body={"error": "invalid_grant", "error_description": "AADSTS50173: revoked", "error_codes": [50173]},
    )
    emulator.clock.move(DAY_S)
    emulator.requests.clear()
    async with emulator.session(store=store) as session:
        assert await who(await session.connect(provider)) == "ada"

    assert [each.status for each in emulator.token_requests] == [400, 200]
    assert held != provider.refresh_token
