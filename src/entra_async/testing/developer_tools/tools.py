"""The developers' tools ``az``, ``azd`` and ``pwsh``: their signed-in user, their calls, and how these end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from pathlib import Path

    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer

__all__ = ("DeveloperTools", "ToolCall", "ToolResult")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """
    How a call of a tool ends.

    Attributes:
        stdout: What it wrote to its standard output.
        stderr: What it wrote to its standard error.
        exit_code: Its exit code.
    """

    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    exit_code: int = 0


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """
    One call of a tool.

    Attributes:
        name: ``az``, ``azd`` or ``pwsh``.
        arguments: What it was given.
        folder: The current folder it was started in.
        environment: Its environment variables.
        ended: Set when its process is gone.
    """

    name: str
    arguments: list[str]
    folder: str
    environment: dict[str, str] = field(repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


@dataclass(slots=True, kw_only=True)
class DeveloperTools:
    """
    The tools, and whoever is signed in to them. It is a path: that of the folder. Change it while it runs.

    Attributes:
        folder: To be put on ``PATH``.
        tokens: What issues the tokens.
        app: The service principal that is signed in.
        subscription: The one subscription of its tenant.
        signed_in: Whether anybody is.
        stuck: Whether the tools never end.
        has_module: Whether PowerShell has ``Az.Accounts``.
        old: Whether ``az`` is older than 2.54, which says when a token expires in local time only, and ``azd`` older
            than 1.18.1, which knows no claims.
        result: How every call ends, or ``None`` for what the tool itself would do.
        calls: What was called so far.
    """

    folder: Path
    tokens: AccessTokenIssuer
    app: App
    subscription: str = "00000000-0000-4000-8000-000000000001"
    signed_in: bool = True
    stuck: bool = False
    has_module: bool = True
    old: bool = False
    result: ToolResult | None = None
    calls: list[ToolCall] = field(default_factory=list)
    _called: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    async def wait_for(self, count: int = 1, *, timeout_s: float = 10.0) -> list[ToolCall]:
        """
        Wait until the tools were called that often, and return the calls.

        Args:
            count: How often.
            timeout_s: Real seconds to wait at most.

        Raises:
            TimeoutError: If they were not.
        """
        with anyio.fail_after(timeout_s):
            while len(self.calls) < count:
                self._called.clear()
                await self._called.wait()
        return self.calls

    def record(self, call: ToolCall) -> None:
        """Record a call, and wake whoever waits for it."""
        self.calls.append(call)
        self._called.set()
