"""A token store in one file, sealed, for every process of a user on a machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, final

from anyio import to_thread

from entra_async.errors import StoreError
from entra_async.sqlite_file import SQLiteFile, transaction
from entra_async.tokens.sealing import Seal

__all__ = ("SQLiteStore",)

T = TypeVar("T")

_APPLICATION: Final = 0x656E7472  # "entr", where SQLite keeps what a file belongs to
_VERSION: Final = 1
_CHECK: Final = b"entra_async"
_PURGE_EVERY: Final = 256  # writes
_SCHEMA: Final = (
    "CREATE TABLE seal (value BLOB NOT NULL)",
    "CREATE TABLE kept (name BLOB PRIMARY KEY, value BLOB NOT NULL, expires_on REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE leases (name BLOB PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)


@final
class SQLiteStore:
    """
    A token store in an SQLite file: ``Session(store=SQLiteStore("tokens.db", key=key_from_environment()))``.

    Values are encrypted with AES-256-GCM, and names are hashed, so that the file reveals nothing without its key. Every
    write is one transaction: a process may be killed at any moment. Any number of processes may use the file at once,
    if they are on one machine: a file on a network drive is not safe. Nothing is open between two operations, so the
    store can be used in other event loops and forked processes.

    Args:
        path: The file. It is made with mode 0600, its folder with 0700 if that is missing. A file that others could
            read, that another user owns, or that is a symbolic link is refused; on Windows the permissions of the
            folder are relied on.
        key: 32 secret bytes, or a function that returns them, such as :func:`entra_async.key_from_environment`. It is
            called once, in a worker thread.

    Raises:
        ConfigurationError: If the key cannot be used.
        StoreError: By the methods: if the file is not a token store, is open to others, or was sealed with another
            key; or if it stays locked for five seconds. It is never changed or deleted then.

    Sources:
        https://www.sqlite.org/lockingv3.html
    """

    def __init__(self, path: str | os.PathLike[str], *, key: bytes | Callable[[], bytes]) -> None:
        self._file = SQLiteFile(
            path,
            what="token store",
            application=_APPLICATION,
            version=_VERSION,
            schema=_SCHEMA,
            private=True,
            created=self._put_seal,
            opened=self._check_seal,
        )
        self._key = key
        self._seal = None if callable(key) else Seal(key)
        self._writes = 0

    def __repr__(self) -> str:
        return f"<SQLiteStore {str(self._file.path)!r}>"

    def __reduce__(self) -> Any:
        if not callable(self._key):
            message = "A store that holds its key is not pickled, since that is a secret."
            raise TypeError(message)
        return partial(SQLiteStore, key=self._key), (self._file.path,)

    async def read(self, name: str) -> bytes | None:
        """Return the value of *name*, or ``None``; one that cannot be decrypted counts as none."""

        def read(database: sqlite3.Connection, seal: Seal) -> bytes | None:
            hidden = seal.hide(name)
            row = database.execute(
                "SELECT value FROM kept WHERE name = ? AND expires_on > ?", (hidden, time.time())
            ).fetchone()
            return None if row is None else seal.open(row[0], label=hidden)

        return await self._run(read)

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """Store *value* under *name*; see :class:`entra_async.tokens.store.TokenStore`."""

        def write(database: sqlite3.Connection, seal: Seal) -> None:
            hidden = seal.hide(name)
            row = hidden, seal.close(value, label=hidden), expires_on
            with transaction(database):
                database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
                if self._writes % _PURGE_EVERY == 0:
                    for table, column in (("kept", "expires_on"), ("leases", "until")):
                        database.execute(f"DELETE FROM {table} WHERE {column} <= ?", (time.time(),))  # noqa: S608 - names of ours
            self._writes += 1

        await self._run(write)

    async def delete(self, name: str) -> None:
        """Delete the value of *name*."""

        def delete(database: sqlite3.Connection, seal: Seal) -> None:
            with transaction(database):
                database.execute("DELETE FROM kept WHERE name = ?", (seal.hide(name),))

        await self._run(delete)

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Acquire or renew a lease; see :class:`entra_async.tokens.store.TokenStore`."""

        def lease(database: sqlite3.Connection, seal: Seal) -> bool:
            with transaction(database):
                now = time.time()  # in here, since the file may be locked for a while
                # A lease that ends later than it could have been taken for was taken before a clock was set back.
                database.execute(
                    "INSERT INTO leases VALUES (:name, :holder, :until) ON CONFLICT (name) DO UPDATE "
                    "SET holder = :holder, until = :until WHERE holder = :holder OR until <= :now OR until > :until",
                    {"name": seal.hide(name), "holder": holder, "until": now + seconds, "now": now},
                )
                changed: tuple[int] = database.execute("SELECT changes()").fetchone()
                return changed == (1,)

        return await self._run(lease)

    async def release(self, name: str, holder: str) -> None:
        """Release a lease."""

        def release(database: sqlite3.Connection, seal: Seal) -> None:
            with transaction(database):
                database.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (seal.hide(name), holder))

        await self._run(release)

    async def aclose(self) -> None:
        """Close nothing: nothing is open between two operations."""

    async def _run(self, work: Callable[[sqlite3.Connection, Seal], T]) -> T:
        # Left to itself when its task is cancelled: it ends within the time that the file may be locked.
        return await to_thread.run_sync(self._work, work, abandon_on_cancel=True)

    def _work(self, work: Callable[[sqlite3.Connection, Seal], T]) -> T:
        if self._seal is None:
            self._seal = Seal(self._key() if callable(self._key) else self._key)
        seal = self._seal

        def sealed(database: sqlite3.Connection) -> T:
            database.execute("PRAGMA synchronous = NORMAL")
            return work(database, seal)

        return self._file.use(sealed)

    def _put_seal(self, database: sqlite3.Connection) -> None:
        if self._seal is not None:
            database.execute("INSERT INTO seal VALUES (?)", (self._seal.close(_CHECK, label=_CHECK),))

    def _check_seal(self, database: sqlite3.Connection) -> None:
        sealed = database.execute("SELECT value FROM seal").fetchone()
        if self._seal is not None and self._seal.open(sealed[0], label=_CHECK) != _CHECK:
            message = f"The token store {str(self._file.path)!r} was sealed with another key."
            raise StoreError(message, hint="Give the key it was made with; or delete it to start anew.")
