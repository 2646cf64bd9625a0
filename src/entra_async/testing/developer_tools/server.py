"""
The developers' tools in a folder for ``PATH``: ``az``, ``azd`` and ``pwsh`` as programs that really run.

Each is a shell script that starts Python and waits for it, as the real ``az`` is; it sends what it was called with to
the emulator, and prints what comes back.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from entra_async.testing.developer_tools.commands import COMMANDS
from entra_async.testing.developer_tools.tools import DeveloperTools, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer

__all__ = ("run_developer_tools",)

_SHELL: Final = """#!/bin/sh
"{python}" -I -S "{program}" {name} "$@"
exit $?
"""
_PROGRAM: Final = """import json, os, socket, sys
call = {{"name": sys.argv[1], "arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(json.dumps(call).encode() + b"\\n")
    result = json.loads(connection.makefile().readline())
sys.stdout.write(result["stdout"])
sys.stderr.write(result["stderr"])
sys.exit(result["exit_code"])
"""
_LONGEST: Final = 1 << 20


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
            task = asyncio.ensure_future(_serve(tools, reader, writer))
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


async def _serve(tools: DeveloperTools, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    call: ToolCall | None = None
    try:
        call = ToolCall(**json.loads(await reader.readline()))
        tools.record(call)
        if tools.stuck:
            await reader.read()  # until it is killed
            return
        result = tools.result or COMMANDS[call.name](tools, call.arguments)
        writer.write(json.dumps(asdict(result)).encode() + b"\n")
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
