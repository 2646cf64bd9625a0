"""Programs that are run for their output: what they start does not outlive them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from entra_async.transport.process import run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


def write_tool(folder: Path, script: str) -> None:
    tool = folder / "az-stand-in"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


async def test_a_child_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends and leaves a child with its pipes behind: its output is returned, and the child is killed."""
    monkeypatch.setattr("entra_async.transport.process._POLL_S", 0.01)
    monkeypatch.setattr("entra_async.transport.process._GRACE_S", 0.05)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script = f"sleep 1000 & echo $! > {tmp_path / 'child'}; echo output; echo error >&2; exit 3"
    await to_thread.run_sync(write_tool, tmp_path, script)
    with anyio.fail_after(10):
        result = await run_program(["az-stand-in"], [], environment={}, within_s=300)

    assert (result.code, result.output, result.error_output) == (3, "output\n", "error\n")
    child = int(await to_thread.run_sync((tmp_path / "child").read_text))
    with anyio.fail_after(10):
        while await to_thread.run_sync(is_running, child):
            await anyio.lowlevel.checkpoint()


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
