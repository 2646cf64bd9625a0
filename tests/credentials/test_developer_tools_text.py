"""What goes into a developer's tool and what comes out: nothing that could be a command, nothing that shows a token."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from entra_async.credentials.developer_tools import AzureCli, AzureDeveloperCli, AzurePowerShell
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.testing import Emulator
from entra_async.testing.developer_tools.tools import DeveloperTools, ToolResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake tools are shell scripts")

PROVIDERS: dict[str, Any] = {"az": AzureCli, "azd": AzureDeveloperCli, "pwsh": AzurePowerShell}
STRANGER = "22222222-2222-2222-2222-222222222222"
every_tool = pytest.mark.parametrize("name", PROVIDERS)


@pytest.fixture
async def tools(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeveloperTools]:
    """Yield the tools, which are the only programs there are."""
    async with emulator.developer_tools() as running:
        monkeypatch.setenv("PATH", str(running))
        yield running


TOKEN = "eyJhbGciOi.c2VjcmV0.abc"
NONSENSE = {
    "az": [
        "",
        "WARNING: something\n",
        "[]",
        json.dumps({"accessToken": TOKEN}),
        json.dumps({"accessToken": TOKEN, "expires_on": "soon"}),
        json.dumps({"accessToken": TOKEN, "expiresOn": "tomorrow"}),
        json.dumps({"accessToken": TOKEN, "expires_on": True}),
        json.dumps({"accessToken": f"{TOKEN}\nX-Other: 1", "expires_on": 9999999999}),
        json.dumps({"accessToken": "", "expires_on": 9999999999}),
        json.dumps({"accessToken": TOKEN, "expires_on": 9999999999})[:-1],
    ],
    "azd": [
        "",
        json.dumps({"token": TOKEN}),
        json.dumps({"token": TOKEN, "expiresOn": "2999-01-01 00:00:00"}),
        json.dumps({"token": 7, "expiresOn": "2999-01-01T00:00:00Z"}),
    ],
    "pwsh": ["", f"entra_async%{TOKEN}", f"entra_async%{TOKEN}%soon", "entra_async%%9999999999", TOKEN],
}


@pytest.mark.parametrize(
    ("name", "output"), [(name, output) for name, outputs in NONSENSE.items() for output in outputs]
)
async def test_output_that_is_no_token(name: str, output: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """Unexpected output is an error that repeats nothing of it, since a token may be in it."""
    tools.result = ToolResult(output)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="no token") as caught:
            await session.connect(PROVIDERS[name]())

    assert TOKEN not in repr(caught.value) + str(caught.value)


async def test_a_token_that_has_expired(emulator: Emulator, tools: DeveloperTools) -> None:
    """A token from the tool's cache that is over is not used."""
    tools.result = ToolResult(json.dumps({"accessToken": TOKEN, "expires_on": 1000}))
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="expired"):
            await session.connect(AzureCli())


@every_tool
async def test_complaints_show_no_token(
    name: str, emulator: Emulator, tools: DeveloperTools, caplog: pytest.LogCaptureFixture
) -> None:
    """What a failing tool wrote is quoted, but no token or secret in it, neither in the error nor in the log."""
    caplog.set_level("DEBUG")
    token = "eyJ" + "a" * 200
    said = f'Traceback\nERROR: the disk is full while caching {token} {{"accessToken": "short"}} client_secret=s3cr\n'
    tools.result = ToolResult(stderr=said, exit_code=3)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=r"exit code 3.*the disk is full") as caught:
            await session.connect(PROVIDERS[name]())

    shown = repr(caught.value) + str(caught.value) + caplog.text
    assert not [secret for secret in (token, "short", "s3cr") if secret in shown]


@pytest.mark.parametrize(
    ("provider", "values", "field"),
    [
        (AzureCli, {"tenant_id": "common"}, "tenant_id"),
        (AzureCli, {"tenant_id": "x'; rm -rf /; '"}, "tenant_id"),
        (AzureCli, {"tenant_id": "--debug"}, "tenant_id"),
        (AzureCli, {"subscription": "--debug"}, "subscription"),
        (AzureCli, {"subscription": "a;b"}, "subscription"),
        (AzureCli, {"subscription": ""}, "subscription"),
        (AzureCli, {"tenant_id": STRANGER, "subscription": "Contoso"}, "subscription"),
        (AzureCli, {"timeout_s": 0}, "timeout_s"),
        (AzureDeveloperCli, {"tenant_id": "a b"}, "tenant_id"),
        (AzurePowerShell, {"tenant_id": "$(calc)"}, "tenant_id"),
        (AzurePowerShell, {"timeout_s": float("nan")}, "timeout_s"),
    ],
    ids=str,
)
def test_malformed_values(provider: Any, values: dict[str, Any], field: str) -> None:
    """What could be read as another argument, or as code, is refused when the provider is made."""
    with pytest.raises(ConfigurationError) as caught:
        provider(**values)

    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize(
    "scope",
    [
        "https://graph.microsoft.com/User.Read",
        "https://x'; calc; '/.default",
        "--debug/.default",
        "https://x\n/.default",
        '"/.default',
    ],
)
@every_tool
async def test_scopes_that_are_no_resource(name: str, scope: str, emulator: Emulator, tools: DeveloperTools) -> None:
    """A scope that the tool cannot request, or that holds more than a name, never reaches it."""
    async with emulator.session() as session:
        connection = await session.connect(PROVIDERS[name]())
        with pytest.raises(ConfigurationError) as caught:
            await connection.get_token(scope)

    assert caught.value.field == "scopes"
    assert len(tools.calls) == 1


@every_tool
def test_a_provider_is_a_value(name: str) -> None:
    """A provider can be compared, hashed and pickled."""
    one = PROVIDERS[name](tenant_id="contoso.com")

    assert one == PROVIDERS[name](tenant_id="contoso.com")
    assert hash(one) == hash(PROVIDERS[name](tenant_id="contoso.com"))
    assert pickle.loads(pickle.dumps(one)) == one
