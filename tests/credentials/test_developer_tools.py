"""The developer tools: each with its own command, ended when nobody waits, and their output checked."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async.credentials.developer_tools import AzureCli, AzureDeveloperCli, AzurePowerShell
from entra_async.errors import (
    AuthenticationError,
    CredentialUnavailableError,
    InteractionRequiredError,
)
from entra_async.testing import Emulator
from entra_async.testing.developer_tools.tools import DeveloperTools, ToolResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake tools are shell scripts")

PROVIDERS: dict[str, Any] = {"az": AzureCli, "azd": AzureDeveloperCli, "pwsh": AzurePowerShell}
SIGN_IN = {"az": "az login", "azd": "azd auth login", "pwsh": "Connect-AzAccount"}
STRANGER = "22222222-2222-2222-2222-222222222222"
GRAPH = "https://graph.microsoft.com"
every_tool = pytest.mark.parametrize("name", PROVIDERS)


@pytest.fixture
async def tools(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeveloperTools]:
    """Yield the tools, which are the only programs there are."""
    async with emulator.developer_tools() as running:
        monkeypatch.setenv("PATH", str(running))
        yield running


@every_tool
async def test_whoever_is_signed_in_signs_in(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """Each tool returns the token of its own account for the requested service, which accepts it."""
    async with emulator.session() as session:
        connection = await session.connect(PROVIDERS[name]())
        users = await connection.invoke("users", query={"$top": 1}, paging=False)
        token = await connection.get_token()

    assert users
    assert token.client_id == emulator.app.client_id
    assert token.expires_on == token.claims["exp"]
    assert [call.name for call in tools.calls] == [name]


@every_tool
async def test_a_trailing_slash_of_the_audience_is_kept(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """Azure Resource Manager's audience ends in a slash, and so does that of the token."""
    async with emulator.session() as session:
        connection = await session.connect(PROVIDERS[name](), service="Azure")
        token = await connection.get_token()

    assert token.audience == "https://management.core.windows.net/"
    assert tools.calls


async def test_how_the_tools_are_called(emulator: Emulator, tools: DeveloperTools) -> None:
    """The commands are those that Microsoft documents, without a shell, colours, or what lies in the current folder."""
    async with emulator.session() as session:
        await session.connect(AzureCli(subscription="Contoso"))
        await session.connect(AzureDeveloperCli(tenant_id=emulator.tenant_id))
        await session.connect(AzurePowerShell(tenant_id=emulator.tenant_id))

    az, azd, pwsh = tools.calls
    assert az.arguments == [
        *("account", "get-access-token", "--output", "json", "--resource", GRAPH),
        *("--subscription", "Contoso"),
    ]
    assert azd.arguments == [
        *("auth", "token", "--output", "json", "--no-prompt", "--scope", f"{GRAPH}/.default"),
        *("--tenant-id", emulator.tenant_id),
    ]
    assert pwsh.arguments[:3] == ["-NoProfile", "-NonInteractive", "-EncodedCommand"]
    assert emulator.tenant_id in base64.b64decode(pwsh.arguments[3]).decode("utf-16-le")
    assert {call.folder for call in tools.calls} == {"/"}
    assert az.environment["AZURE_CORE_NO_COLOR"] == "true"
    assert azd.environment["NO_COLOR"] == "true"


@every_tool
async def test_not_installed(name: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the tool, the error says where to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match="not installed") as caught:
            await session.connect(PROVIDERS[name]())

    assert name in str(caught.value.hint)


async def test_a_tool_in_the_current_folder_is_not_run(
    emulator: Emulator, tools: DeveloperTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative entry of PATH leads to nothing: anyone may have written there."""
    monkeypatch.setenv("PATH", await anyio.to_thread.run_sync(os.path.relpath, tools.folder))
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match="not installed"):
            await session.connect(AzureCli())

    assert not tools.calls


@every_tool
async def test_nobody_signed_in(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """The error names the command that signs in."""
    tools.signed_in = False
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match="Nobody is signed in") as caught:
            await session.connect(PROVIDERS[name]())

    assert SIGN_IN[name] in str(caught.value.hint)


@every_tool
async def test_a_tenant_that_is_unknown(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """Entra ID's refusal comes through the tool with its code and remedy."""
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(PROVIDERS[name](tenant_id=STRANGER))

    assert not isinstance(caught.value, CredentialUnavailableError)
    assert caught.value.code == "AADSTS90002"
    assert caught.value.hint
    assert tools.calls


@every_tool
async def test_a_resource_that_is_unknown(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """So does the refusal of a resource."""
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(PROVIDERS[name](), resource="https://nowhere.example")

    assert caught.value.code == "AADSTS500011"
    assert tools.calls


@every_tool
async def test_an_expired_sign_in(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """When the tool's own sign-in has expired, the user must sign in to the tool again."""
    said = "ERROR: AADSTS700082: The refresh token has expired due to inactivity.\r\nTrace ID: 0a\n"
    tools.result = ToolResult(stderr=said, exit_code=1)
    async with emulator.session() as session:
        with pytest.raises(InteractionRequiredError) as caught:
            await session.connect(PROVIDERS[name]())

    assert caught.value.code == "AADSTS700082"
    assert SIGN_IN[name] in str(caught.value.hint)


async def test_a_module_that_is_missing(emulator: Emulator, tools: DeveloperTools) -> None:
    """PowerShell without Az.Accounts is not enough, and the error says so."""
    tools.has_module = False
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match=r"Az\.Accounts"):
            await session.connect(AzurePowerShell())


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "UTC"])
@pytest.mark.parametrize(("name", "old"), [("az", True), ("az", False), ("azd", False)])
async def test_times_are_read_in_every_time_zone(
    name: str, old: bool, zone: str, emulator: Emulator, tools: DeveloperTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """azd's times are UTC and old az's are local; either way the token expires when its claims say."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        tools.old = old
        async with emulator.session() as session:
            connection = await session.connect(PROVIDERS[name]())
            token = await connection.get_token()
    finally:
        monkeypatch.undo()
        time.tzset()

    assert token.expires_on == token.claims["exp"]


@every_tool
async def test_many_callers_start_one_process(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """However many tasks want a token at once, one child process is started for them."""
    async with emulator.session() as session:
        connection = await session.connect(PROVIDERS[name]())
        emulator.clock.move(29 * 3600)
        tokens = await asyncio.gather(*(connection.get_token() for _ in range(100)))

    assert len({token.token for token in tokens}) == 1
    assert len(tools.calls) == 2


@every_tool
async def test_a_stuck_tool_is_ended(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """A tool that never returns is ended after timeout_s, together with what it started."""
    tools.stuck = True
    async with emulator.session() as session:
        started = time.monotonic()
        with pytest.raises(CredentialUnavailableError, match=r"no answer within 0\.6 s"):
            await session.connect(PROVIDERS[name](timeout_s=0.6))
        elapsed_s = time.monotonic() - started
        with anyio.fail_after(5):
            for call in tools.calls:
                await call.ended.wait()

    assert elapsed_s < 5


@every_tool
async def test_cancelling_ends_the_tool(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """When nobody waits any more, the tool and what it started are killed at once, and nothing is left."""
    tools.stuck = True
    async with emulator.session() as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.connect, PROVIDERS[name]())
            await tools.wait_for()
            group.cancel_scope.cancel()
        with anyio.fail_after(5):
            await tools.calls[0].ended.wait()  # that is the grandchild: the shell's Python
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()


async def test_closing_the_session_ends_the_tool(emulator: Emulator, tools: DeveloperTools) -> None:
    """A Session that is closed while the tool thinks has ended it when it is closed."""
    tools.stuck = True
    session = emulator.session()
    errors: list[Exception] = []

    async def connect() -> None:
        try:
            await session.connect(AzureCli())
        except Exception as error:  # noqa: BLE001 - it is the error that is tested
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(connect)
        await tools.wait_for()
        await session.aclose()
        with anyio.fail_after(5):
            await tools.calls[0].ended.wait()

    assert "closed" in str(errors[0])


@pytest.mark.parametrize("name", ["az", "pwsh"])
async def test_claims_need_a_new_sign_in(name: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """A tool that cannot pass claims on is not run; the error says that the user must sign in, and carries them."""
    claims = '{"access_token":{"acrs":{"essential":true,"value":"p1"}}}'
    async with emulator.session() as session:
        connection = await session.connect(PROVIDERS[name]())
        with pytest.raises(InteractionRequiredError) as caught:
            await connection.get_token(claims=claims)

    assert caught.value.claims == claims
    assert SIGN_IN[name] in str(caught.value.hint)
    assert len(tools.calls) == 1


async def test_azd_passes_claims_on(emulator: Emulator, tools: DeveloperTools) -> None:
    """azd takes claims in base64; one that is too old says so."""
    claims = '{"access_token":{"acrs":{"essential":true,"value":"p1"}}}'
    async with emulator.session() as session:
        connection = await session.connect(AzureDeveloperCli())
        await connection.get_token(claims=claims)
        tools.old = True
        with pytest.raises(AuthenticationError, match="unknown flag"):
            await connection.get_token(claims='{"access_token":{}}')

    assert json.loads(base64.b64decode(tools.calls[1].arguments[-1])) == json.loads(claims)


async def test_another_tenant_of_a_subscription(emulator: Emulator, tools: DeveloperTools) -> None:
    """az takes a subscription or a tenant; so the tenant is checked in the token instead."""
    async with emulator.session() as session:
        connection = await session.connect(AzureCli(subscription=tools.subscription))
        await connection.get_token(tenant_id=emulator.tenant_id)
        with pytest.raises(AuthenticationError, match="was issued"):
            await connection.get_token(tenant_id=STRANGER)

    assert all("--tenant" not in call.arguments for call in tools.calls)


async def test_a_subscription_that_is_unknown(emulator: Emulator, tools: DeveloperTools) -> None:
    """What az says about it is quoted."""
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="Subscription 'Fabrikam' not found"):
            await session.connect(AzureCli(subscription="Fabrikam"))

    assert tools.calls
