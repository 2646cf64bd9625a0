"""Run a child process; however the wait for it ends, the process and all that it started are killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from entra_async.errors import ConfigurationError

__all__ = ("ProcessResult", "run_program")

_REAP_S: Final = 5.0
_POLL_S: Final = 0.1
_GRACE_S: Final = 1.0  # for what a program has started to end by itself, once the program has


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """
    The result of a program.

    Attributes:
        code: Its exit code.
        output: What it wrote to standard output.
        error_output: What it wrote to standard error.
    """

    code: int
    output: str = field(repr=False)
    error_output: str = field(repr=False)


async def run_program(
    names: Sequence[str], arguments: Sequence[str], *, environment: Mapping[str, str], within_s: float
) -> ProcessResult:
    """
    Run a program to its end and return its output. There is no shell and no standard input.

    Args:
        names: What it may be called, best first; searched for on ``PATH``.
        arguments: Its arguments, passed as they are.
        environment: Variables to add to this process's own.
        within_s: Seconds it may take. Then it is killed, as it is when the caller is cancelled.

    Raises:
        FileNotFoundError: If there is no such program.
        OSError: If it cannot be started.
        TimeoutError: If it took too long.
        ConfigurationError: If this event loop cannot start programs.
    """
    program = await to_thread.run_sync(_find, names)
    if program is None:
        raise FileNotFoundError
    with anyio.fail_after(within_s):
        # Shielded, since a program whose start is cancelled half-way could not be killed.
        with anyio.CancelScope(shield=True):
            process = await _start(program, arguments, environment)
        watcher = asyncio.create_task(_end_children(process))
        try:
            output, error_output = await process.communicate()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _kill(process)
            raise
        finally:
            watcher.cancel()
    code = process.returncode if process.returncode is not None else -1
    return ProcessResult(code, output.decode("utf-8", "replace"), error_output.decode("utf-8", "replace"))


def _find(names: Sequence[str]) -> str | None:
    found = (shutil.which(name) for name in names)
    # A relative entry of PATH would run whatever lies in the current folder.
    return next((path for path in found if path is not None and Path(path).is_absolute()), None)


async def _start(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            # Not the current folder, where somebody may have put what the tool would load.
            cwd=os.environ.get("SYSTEMROOT", "C:\\") if sys.platform == "win32" else "/",
            env={**os.environ, **environment},
            start_new_session=True,  # a process group of its own, which can be killed as a whole
        )
    except NotImplementedError as error:
        message = "This event loop cannot start other programs."
        raise ConfigurationError(message, hint="On Windows use asyncio's ProactorEventLoop, the default.") from error


async def _end_children(process: Process) -> None:
    """End what a program has started, when it has ended itself: its pipes stay open as long as one of them lives."""
    # Not wait(), which some releases of Python return from when the pipes are closed, too.
    while process.returncode is None:  # noqa: ASYNC110 - asyncio tells nobody else
        await anyio.sleep(_POLL_S)
    await anyio.sleep(_GRACE_S)
    await _kill_all(process)


async def _kill(process: Process) -> None:
    await _kill_all(process)
    with anyio.move_on_after(_REAP_S):
        await process.communicate()  # reads both pipes to their end, so that they are closed, and reaps the process


async def _kill_all(process: Process) -> None:
    if sys.platform == "win32":
        killer = await asyncio.create_subprocess_exec(
            "taskkill", "/PID", str(process.pid), "/T", "/F", stdout=DEVNULL, stderr=DEVNULL
        )
        await killer.wait()
    else:
        with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for what has ended
            os.killpg(process.pid, signal.SIGKILL)
