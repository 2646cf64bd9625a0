"""
The developers' tools on a folder for ``PATH``: ``az``, ``azd`` and ``pwsh`` as programs that really run.

Each is a shell script that starts Python and waits for it, as the real ``az`` is; it says what it was called with to
the emulator, and prints what that answers. What a tool does with its arguments is in ``fake_az_commands``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from entra_async.testing.developer_tools.commands import COMMANDS, Printed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from entra_async.testing.entra.tenant import App
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer

__all__ = ("DeveloperTools", "ToolCall", "run_developer_tools")

_SHELL: Final = """#!/bin/sh
"{python}" -I -S "{program}" {name} "$@"
exit $?
"""
_PROGRAM: Final = """import json, os, socket, sys
call = {{"name": sys.argv[1], "arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(json.dumps(call).encode() + b"\\n")
    answer = json.loads(connection.makefile().readline())
sys.stdout.write(answer["output"])
sys.stderr.write(answer["complaint"])
sys.exit(answer["code"])
"""
_LONGEST: Final = 1 << 20


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
        stuck: Whether the tools never answer.
        has_module: Whether PowerShell has ``Az.Accounts``.
        old: Whether ``az`` is older than 2.54, which says when a token expires in local time only, and ``azd`` older
            than 1.18.1, which knows no claims.
        says: What to print instead of the answer, or ``None``.
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
    says: Printed | None = None
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one call."""
        call: ToolCall | None = None
        try:
            call = ToolCall(**json.loads(await reader.readline()))
            self.calls.append(call)
            self._called.set()
            if self.stuck:
                await reader.read()  # until it is killed
                return
            printed = self.says or COMMANDS[call.name](self, call.arguments)
            writer.write(
                json.dumps({"output": printed.output, "complaint": printed.complaint, "code": printed.code}).encode()
            )
            writer.write(b"\n")
            await writer.drain()
            await reader.read()
        except (ConnectionError, ValueError):
            pass  # it was killed while it spoke
        finally:
            if call is not None:
                call.ended.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def run_developer_tools(*, tokens: AccessTokenIssuer, app: App) -> AsyncIterator[DeveloperTools]:
    """
    Have the tools for one block.

    Args:
        tokens: What issues the tokens.
        app: The service principal that is signed in.
    """
    async with anyio.TemporaryDirectory(prefix="entra-tools-") as name:
        tools = DeveloperTools(folder=Path(name) / "bin", tokens=tokens, app=app)
        serving: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(tools.serve(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_LONGEST)
        try:
            program = anyio.Path(name) / "tool.py"
            await program.write_text(_PROGRAM.format(port=server.sockets[0].getsockname()[1]))
            await anyio.Path(tools.folder).mkdir()
            for tool in COMMANDS:
                script = anyio.Path(tools.folder) / tool
                await script.write_text(_SHELL.format(python=sys.executable, program=program, name=tool))
                await script.chmod(0o700)
            yield tools
        finally:
            server.close()
            left = list(serving)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
