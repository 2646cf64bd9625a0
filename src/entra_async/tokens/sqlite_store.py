"""A token store in one file, sealed, for every process of a user on a machine."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, final

from anyio import to_thread

from entra_async.errors import ConfigurationError, StoreError
from entra_async.tokens.sealing import Seal

__all__ = ("SQLiteStore",)

T = TypeVar("T")

_APPLICATION: Final = 0x656E7472  # "entr", where SQLite keeps what a file belongs to
_VERSION: Final = 1
_BUSY_S: Final = 5.0
_CHECK: Final = b"entra_async"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_PURGE_EVERY: Final = 256  # writes
_SCHEMA: Final = (
    "CREATE TABLE seal (value BLOB NOT NULL)",
    "CREATE TABLE kept (name BLOB PRIMARY KEY, value BLOB NOT NULL, expires_on REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE leases (name BLOB PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)


@final
class SQLiteStore:
    """
    Keeps tokens in an SQLite file: ``Session(store=SQLiteStore("tokens.db", key=key_from_environment()))``.

    Values are sealed with AES-256-GCM, and names are hidden, so that the file tells nothing without its key. Every
    write is one transaction: a process may be killed at any moment. Any number of processes may use the file at once,
    if they are on one machine: a file on a network drive is not safe. Nothing is open between two operations, so the
    store goes along into other event loops and forked processes.

    Args:
        path: The file. It is made with mode 0600, its folder with 0700 if that is missing. A file that others could
            read, that belongs to somebody else, or that is a symbolic link is refused; on Windows the permissions
            of the folder are relied on.
        key: 32 secret bytes, or a function that gives them, such as :func:`entra_async.key_from_environment`. It is
            called once, in a worker thread.

    Raises:
        ConfigurationError: If the key cannot be used.
        StoreError: By the methods: if the file is not a token store, is open to others, or was sealed with another
            key; or if it stays locked for five seconds. It is never changed or deleted then.

    Sources:
        https://www.sqlite.org/lockingv3.html
    """

    def __init__(self, path: str | os.PathLike[str], *, key: bytes | Callable[[], bytes]) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            message = f"path is {path!r}."
            raise ConfigurationError(message, field="path", hint="Give the path of a file for the tokens.")
        self._path = Path(path)
        self._key = key
        self._seal = None if callable(key) else Seal(key)
        self._checked: tuple[int, int] | None = None
        self._writes = 0

    def __repr__(self) -> str:
        return f"<SQLiteStore {str(self._path)!r}>"

    def __reduce__(self) -> Any:
        if not callable(self._key):
            message = "A store that holds its key is not pickled, since that is a secret."
            raise TypeError(message)
        return partial(SQLiteStore, key=self._key), (self._path,)

    async def read(self, name: str) -> bytes | None:
        """Return the value kept under *name*, or ``None``; one that cannot be opened counts as none."""

        def read(database: sqlite3.Connection, seal: Seal) -> bytes | None:
            hidden = seal.hide(name)
            row = database.execute(
                "SELECT value FROM kept WHERE name = ? AND expires_on > ?", (hidden, time.time())
            ).fetchone()
            return None if row is None else seal.open(row[0], label=hidden)

        return await self._run(read)

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """Keep *value* under *name*; see :class:`entra_async.tokens.store.TokenStore`."""

        def write(database: sqlite3.Connection, seal: Seal) -> None:
            hidden = seal.hide(name)
            row = hidden, seal.close(value, label=hidden), expires_on
            with _transaction(database):
                database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
                if self._writes % _PURGE_EVERY == 0:
                    for table, column in (("kept", "expires_on"), ("leases", "until")):
                        database.execute(f"DELETE FROM {table} WHERE {column} <= ?", (time.time(),))  # noqa: S608 - names of ours
            self._writes += 1

        await self._run(write)

    async def delete(self, name: str) -> None:
        """Throw away what is kept under *name*."""

        def delete(database: sqlite3.Connection, seal: Seal) -> None:
            with _transaction(database):
                database.execute("DELETE FROM kept WHERE name = ?", (seal.hide(name),))

        await self._run(delete)

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Take or keep a lease; see :class:`entra_async.tokens.store.TokenStore`."""

        def lease(database: sqlite3.Connection, seal: Seal) -> bool:
            with _transaction(database):
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
        """Give a lease back."""

        def release(database: sqlite3.Connection, seal: Seal) -> None:
            with _transaction(database):
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
        try:
            identity = self._prepare_file()
            database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            try:
                database.execute("PRAGMA synchronous = NORMAL")
                if identity != self._checked:
                    self._check(database, self._seal)
                    self._checked = identity
                return work(database, self._seal)
            finally:
                database.close()
        except sqlite3.OperationalError as error:
            message = f"The token store {str(self._path)!r} cannot be used: {error}."
            raise StoreError(message, hint="Another process may hold it locked, or the disk may be full.") from None
        except sqlite3.DatabaseError as error:
            message = f"{str(self._path)!r} is not a token store, or it is damaged: {error}."
            raise StoreError(message, hint="Delete it to start anew, or choose another path.") from None
        except OSError as error:
            message = f"The token store {str(self._path)!r} cannot be opened: {error.strerror or type(error).__name__}."
            raise StoreError(message, hint="Check the path and its permissions.") from None

    def _prepare_file(self) -> tuple[int, int]:
        try:
            about = os.lstat(self._path)
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            about = os.lstat(self._path)
        problem: str | None = None
        if not stat.S_ISREG(about.st_mode):
            problem = "is not a file"
        elif os.name == "posix" and about.st_uid != os.geteuid():
            problem = "belongs to somebody else"
        elif os.name == "posix" and about.st_mode & _OTHERS:
            problem = f"is open to others (mode {stat.S_IMODE(about.st_mode):04o})"
        if problem is not None:
            message = f"The token store {str(self._path)!r} {problem}."
            raise StoreError(message, hint="Give a path of its own; the file's mode must be 0600.")
        return about.st_dev, about.st_ino

    def _check(self, database: sqlite3.Connection, seal: Seal) -> None:
        with _transaction(database):
            belongs_to = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if (belongs_to, version) == (0, 0) and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _SCHEMA:
                    database.execute(statement)
                database.execute("INSERT INTO seal VALUES (?)", (seal.close(_CHECK, label=_CHECK),))
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            elif belongs_to != _APPLICATION:
                message = f"{str(self._path)!r} is a database of something else."
                raise StoreError(message, hint="Choose another path.")
            elif version != _VERSION:
                message = f"The token store {str(self._path)!r} was made by another version of entra_async."
                raise StoreError(message, hint="Delete it to start anew, or choose another path.")
            elif seal.open(database.execute("SELECT value FROM seal").fetchone()[0], label=_CHECK) != _CHECK:
                message = f"The token store {str(self._path)!r} was sealed with another key."
                raise StoreError(message, hint="Give the key it was made with; or delete it to start anew.")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: who only wants to write once he has read would be refused when two do so.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
