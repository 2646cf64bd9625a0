"""What each of many processes does with one token store; run by the tests in processes of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from entra_async.config import SystemClock
from entra_async.tokens.shared import SharedTokens
from entra_async.tokens.sqlite_store import SQLiteStore
from entra_async.tokens.token import Token

KEY = bytes(range(32))
LEASE_S = 2.0


async def request_token(port: int) -> Token:
    """Request a token from the test's token service, which counts: one connection, one line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{os.getpid()}\n".encode())
    await writer.drain()
    secret = (await reader.readline()).decode().strip()
    writer.close()
    if not secret:
        raise ConnectionResetError
    return Token(secret, int(time.time()) + 3600)


async def fetch(path: str, port: int) -> str:
    """Return a token as a Session gets it through its store."""
    shared = SharedTokens(SQLiteStore(path, key=KEY), SystemClock(), lease_s=LEASE_S)
    response = await shared.fetch("one name", lambda: request_token(port), is_acceptable=lambda _: True)
    return f"{response.token.token} {response.origin}"


async def write(path: str, worker: int, count: int) -> None:
    """Write and read so many values, some of them under names that other processes use as well."""
    store = SQLiteStore(path, key=KEY)
    for number in range(count):
        name = f"shared {number % 7}" if number % 3 else f"own {worker} {number}"
        value = f"{worker} {number} ".encode() * 50
        await store.write(name, value, expires_on=time.time() + 3600)
        if number % 4:
            continue
        found = await store.read(name)
        assert found is not None
        assert len(set(found.split(b" ")[::2])) <= 2, found
        if name.startswith("own"):
            assert found == value


def fork_workers(count: int, work: str, path: str, argument: int) -> None:
    """Do the work in so many forked processes, started at one moment; print what each says."""
    gate_reader, gate_writer = os.pipe()
    children = []
    for worker in range(count):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(gate_writer)
                os.read(gate_reader, 1)  # until the parent opens the gate
                if work == "fetch":
                    line = asyncio.run(fetch(path, argument))
                    os.write(1, f"{line}\n".encode())
                else:
                    asyncio.run(write(path, worker, argument))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(gate_reader)
    os.close(gate_writer)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    sys.exit(failed)


if __name__ == "__main__":
    fork_workers(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
