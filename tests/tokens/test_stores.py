"""Token stores: encrypted, private, one process at a time requests a token, and a failing store is optional."""

from __future__ import annotations

import base64
import os
import pickle
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import keyring
import pytest
from keyring.backend import KeyringBackend

import entra_async
from entra_async.errors import AuthenticationError, ConfigurationError, StoreError
from entra_async.telemetry.events import Event, StoreUsed
from entra_async.tokens.sealing import key_from_environment, key_from_keyring
from entra_async.tokens.shared import SharedTokens
from entra_async.tokens.sqlite_store import SQLiteStore
from entra_async.tokens.store import MemoryStore, TokenStore
from entra_async.tokens.token import Token
from tests.support.virtual_clock import VirtualClock

KEY = bytes(range(32))
FAR = 4_000_000_000.0
posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "tokens.db"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, path: Path) -> TokenStore:
    return MemoryStore() if request.param == "memory" else SQLiteStore(path, key=KEY)


async def test_a_value_is_stored_and_replaced_and_deleted(store: TokenStore) -> None:
    """A store is a dict that outlives its user."""
    assert await store.read("a") is None
    await store.write("a", b"1", expires_on=FAR)
    await store.write("b", b"\0" * 100_000, expires_on=FAR)
    await store.write("a", b"2", expires_on=FAR)
    assert await store.read("a") == b"2"
    assert await store.read("b") == b"\0" * 100_000
    await store.delete("a")
    await store.delete("a")
    assert await store.read("a") is None
    await store.aclose()
    assert await store.read("b") is not None


async def test_an_expired_value_is_not_read(store: TokenStore) -> None:
    """A value is not returned after its time."""
    await store.write("a", b"1", expires_on=1.0)
    assert await store.read("a") is None


async def test_a_lease_has_one_holder(store: TokenStore) -> None:
    """A lease is refused to others until it is released or has expired; its holder may renew it."""
    assert await store.lease("a", "one", seconds=60)
    assert await store.lease("a", "one", seconds=60)
    assert not await store.lease("a", "two", seconds=60)
    assert await store.lease("b", "two", seconds=60)
    await store.release("a", "two")
    assert not await store.lease("a", "two", seconds=60)
    await store.release("a", "one")
    assert await store.lease("a", "two", seconds=-1)
    assert await store.lease("a", "three", seconds=60)


async def test_only_the_key_opens_the_file(path: Path) -> None:
    """The file shows neither values nor names; another key is recognised, and the file stays."""
    await SQLiteStore(path, key=KEY).write("tenant contoso", b"a secret token", expires_on=FAR)
    content = await anyio.Path(path).read_bytes()
    other = SQLiteStore(path, key=bytes(32))

    assert b"secret" not in content
    assert b"contoso" not in content
    with pytest.raises(StoreError, match="another key"):
        await other.read("tenant contoso")
    assert await SQLiteStore(path, key=lambda: KEY).read("tenant contoso") == b"a secret token"


async def test_values_cannot_change_places(path: Path) -> None:
    """A value that was moved to another row, or damaged, counts as none, and can be written again."""
    store = SQLiteStore(path, key=KEY)
    for name in "abc":
        await store.write(name, name.encode(), expires_on=FAR)

    def tamper() -> None:
        with sqlite3.connect(path) as database:
            rows = database.execute("SELECT name, value FROM kept").fetchall()
            database.execute("UPDATE kept SET value = ? WHERE name = ?", (rows[1][1], rows[0][0]))
            database.execute("UPDATE kept SET value = substr(value, 2) WHERE name = ?", (rows[1][0],))
        database.close()

    await anyio.to_thread.run_sync(tamper)
    values = [await store.read(name) for name in "abc"]
    assert values.count(None) == 2
    for name in "abc":
        await store.write(name, b"again", expires_on=FAR)
        assert await store.read(name) == b"again"


@posix
async def test_the_file_is_private(path: Path) -> None:
    """It is made for its owner only; one that is open to others, or a link, is refused."""
    store = SQLiteStore(path, key=KEY)
    await store.write("a", b"1", expires_on=FAR)
    here = anyio.Path(path)
    assert stat.S_IMODE((await here.stat()).st_mode) == 0o600
    assert stat.S_IMODE((await here.parent.stat()).st_mode) == 0o700

    await here.chmod(0o640)
    with pytest.raises(StoreError, match="open to others"):
        await store.read("a")
    await here.chmod(0o600)
    link = anyio.Path(path.with_name("link"))
    await link.symlink_to(path)
    with pytest.raises(StoreError, match="not a file"):
        await SQLiteStore(path.with_name("link"), key=KEY).read("a")
    with pytest.raises(StoreError, match="not a file"):
        await SQLiteStore(path.parent, key=KEY).read("a")


@pytest.mark.parametrize("content", [b"{}", b"SQLite format 3\0" + bytes(100), os.urandom(9000)])
async def test_a_file_of_something_else_is_left_alone(path: Path, content: bytes) -> None:
    """A broken or foreign file is refused by name, and not changed."""
    here = anyio.Path(path)
    await here.parent.mkdir(mode=0o700)
    await here.write_bytes(content)
    await here.chmod(0o600)
    with pytest.raises(StoreError, match=r"tokens\.db"):
        await SQLiteStore(path, key=KEY).read("a")
    assert await here.read_bytes() == content


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    """An SQLite file that belongs to something else gets no table of ours."""

    def make() -> None:
        path.parent.mkdir(mode=0o700)
        os.close(os.open(path, os.O_CREAT, 0o600))
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE theirs (x)")
        database.close()

    await anyio.to_thread.run_sync(make)
    with pytest.raises(StoreError, match="something else"):
        await SQLiteStore(path, key=KEY).write("a", b"1", expires_on=FAR)


@pytest.mark.parametrize("key", [b"", b"short", bytes(33), "x" * 32])
def test_a_key_is_32_bytes(path: Path, key: bytes) -> None:
    """Another key is refused at once, and not repeated."""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        SQLiteStore(path, key=key)


async def test_the_key_may_be_in_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or wrong variable is named; a good one opens the file."""
    store = SQLiteStore(path, key=key_from_environment())
    with pytest.raises(ConfigurationError, match="ENTRA_ASYNC_STORE_KEY with the key"):
        await store.read("a")
    monkeypatch.setenv("ENTRA_ASYNC_STORE_KEY", "not base64")
    with pytest.raises(ConfigurationError, match="not the Base64"):
        await store.read("a")
    monkeypatch.setenv("ENTRA_ASYNC_STORE_KEY", base64.b64encode(KEY).decode())
    await store.write("a", b"1", expires_on=FAR)
    assert await SQLiteStore(path, key=KEY).read("a") == b"1"


class Ring(KeyringBackend):
    """A keyring in a dict."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # its author left the types out
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    ring = Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


async def test_the_key_may_be_in_the_keyring(path: Path, ring: Ring) -> None:
    """It is made the first time, and found again."""
    await SQLiteStore(path, key=key_from_keyring()).write("a", b"1", expires_on=FAR)
    assert await SQLiteStore(path, key=key_from_keyring()).read("a") == b"1"
    assert len(base64.b64decode(ring.passwords["entra_async", "token store"])) == 32


def test_without_the_extra_the_keyring_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that is missing is named."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match="keyring") as caught:
        key_from_keyring()()
    assert "entra-async[keyring]" in str(caught.value)


def test_a_store_that_holds_its_key_stays_here(path: Path) -> None:
    """A key is not pickled; a function that reads it may be, and no repr shows either."""
    assert repr(KEY) not in repr(SQLiteStore(path, key=KEY))
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(SQLiteStore(path, key=KEY))
    copy = pickle.loads(pickle.dumps(SQLiteStore(path, key=key_from_environment())))
    assert repr(copy) == repr(SQLiteStore(path, key=KEY))


class BrokenStore:
    """Raises, or hangs, at every operation."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    async def read(self, name: str) -> bytes | None:
        self.work()
        return b"{not a token"

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        self.work()

    async def delete(self, name: str) -> None:
        self.work()

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        self.work()
        return True

    async def release(self, name: str, holder: str) -> None:
        self.work()

    async def aclose(self) -> None:
        """Hold nothing."""


def fail() -> None:
    message = "the disk is full"
    raise OSError(message)


@pytest.mark.parametrize("work", [fail, lambda: None], ids=["raises", "holds rubbish"])
async def test_a_broken_store_costs_nothing_but_itself(work: Callable[[], object]) -> None:
    """The token is requested as if there was no store, and the listener gets the error."""
    events: list[Event] = []
    shared = SharedTokens(BrokenStore(work), VirtualClock(), listener=events.append)

    async def request() -> Token:
        return Token("fresh", int(FAR))

    response = await shared.fetch("name", request, is_acceptable=lambda _: True)

    assert (response.token.token, response.origin) == ("fresh", "service")
    errors = {event.error for event in events if isinstance(event, StoreUsed)}
    assert errors == ({"OSError"} if work is fail else {None})


async def test_the_sources_error_passes_and_frees_the_lease(store: TokenStore) -> None:
    """The token service's error is raised as it is, and the next process may send a request at once."""
    shared = SharedTokens(store, VirtualClock())

    async def refuse() -> Token:
        message = "no"
        raise AuthenticationError(message)

    for _ in range(2):
        with pytest.raises(AuthenticationError, match="no"):
            await shared.fetch("name", refuse, is_acceptable=lambda _: True)
    assert await store.lease("name", "me", seconds=1)


async def test_one_requests_and_all_have_it(store: TokenStore) -> None:
    """However many want the token at once, one requests it; if it is cancelled, the next one gets the lease."""
    clock = VirtualClock()
    requests = 0
    never = anyio.Event()

    async def request() -> Token:
        nonlocal requests
        requests += 1
        if requests == 1:
            await never.wait()
        return Token(f"token {requests}", int(FAR))

    results: list[tuple[str, str]] = []
    events: list[Event] = []

    async def fetch() -> None:
        shared = SharedTokens(store, clock, listener=events.append)
        response = await shared.fetch("name", request, is_acceptable=lambda _: True)
        results.append((response.token.token, response.origin))

    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def be_cancelled() -> None:
            with first:
                await fetch()

        group.start_soon(be_cancelled)
        while not requests:
            await anyio.lowlevel.checkpoint()
        for _ in range(10):
            group.start_soon(fetch)
        first.cancel()

    assert [event for event in events if isinstance(event, StoreUsed) and event.error] == []
    assert requests == 2
    assert {token for token, _ in results} == {"token 2"}
    assert sorted(origin for _, origin in results) == ["service"] + ["store"] * 9


def test_stores_are_public() -> None:
    """What a user needs is found in the package itself."""
    for name in ("MemoryStore", "SQLiteStore", "TokenStore", "key_from_environment", "key_from_keyring"):
        assert hasattr(entra_async, name)
