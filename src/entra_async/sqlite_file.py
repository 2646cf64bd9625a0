"""An SQLite file of a store: its checks, its transactions, and the errors when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar, final

from entra_async.errors import ConfigurationError, StoreError

__all__ = ("SQLiteFile", "transaction")

T = TypeVar("T")

_BUSY_S: Final = 5.0
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing."""


@final
class SQLiteFile:
    """
    An SQLite file, opened for one transaction at a time. Everything here blocks: call it in a worker thread.

    It is created with mode 0600, its folder with 0700 if that is missing. A file of another kind is an error, and is
    never changed.

    Args:
        path: The file.
        what: What it is, in errors, such as ``"token store"``.
        application: Its ``application_id``.
        version: Of its tables.
        schema: The statements that create them.
        private: Whether a file is an error that others could read, that belongs to another user, or that is a link.
        created: Called when the tables were created.
        opened: Called when an existing file is opened.

    Raises:
        ConfigurationError: If *path* is no path.

    Sources:
        https://www.sqlite.org/lockingv3.html
        https://www.sqlite.org/pragma.html#pragma_application_id
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        what: str,
        application: int,
        version: int,
        schema: tuple[str, ...],
        private: bool,
        created: Callable[[sqlite3.Connection], None] = _nothing,
        opened: Callable[[sqlite3.Connection], None] = _nothing,
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            message = f"path is {path!r}."
            raise ConfigurationError(message, field="path", hint=f"Give the path of a file for the {what}.")
        self.path = Path(path)
        self._what = what
        self._application = application
        self._version = version
        self._schema = schema
        self._private = private
        self._created = created
        self._opened = opened
        self._checked: tuple[int, int] | None = None

    def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """
        Open the file, do the work, and close it.

        Raises:
            StoreError: If it is of another kind, is damaged, is open to others, or stays locked for five seconds.
        """
        try:
            identity = self._prepare()
            database = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            try:
                if identity != self._checked:
                    self._check(database)
                    self._checked = identity
                return work(database)
            finally:
                database.close()
        except sqlite3.OperationalError as error:
            message = f"The {self._what} {str(self.path)!r} cannot be used: {error}."
            raise StoreError(message, hint="Another process may have locked it, or the disk may be full.") from None
        except sqlite3.DatabaseError as error:
            message = f"{str(self.path)!r} is not a {self._what}, or it is damaged: {error}."
            raise StoreError(message, hint="Delete it to start anew, or choose another path.") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"The {self._what} {str(self.path)!r} cannot be opened: {reason}."
            raise StoreError(message, hint="Check the path and its permissions.") from None

    def _prepare(self) -> tuple[int, int]:
        look = os.lstat if self._private else os.stat
        try:
            about = look(self.path)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            about = look(self.path)
        problem: str | None = None
        if not stat.S_ISREG(about.st_mode):
            problem = "is not a file"
        elif self._private and os.name == "posix" and about.st_uid != os.geteuid():
            problem = "belongs to another user"
        elif self._private and os.name == "posix" and about.st_mode & _OTHERS:
            problem = f"is open to others (mode {stat.S_IMODE(about.st_mode):04o})"
        if problem is not None:
            message = f"The {self._what} {str(self.path)!r} {problem}."
            hint = "Give a path of its own" + ("; the file's mode must be 0600." if self._private else ".")
            raise StoreError(message, hint=hint)
        return about.st_dev, about.st_ino

    def _check(self, database: sqlite3.Connection) -> None:
        with transaction(database):
            belongs_to = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if (belongs_to, version) == (0, 0) and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in self._schema:
                    database.execute(statement)
                self._created(database)
                database.execute(f"PRAGMA application_id = {self._application}")
                database.execute(f"PRAGMA user_version = {self._version}")
            elif belongs_to != self._application:
                message = f"{str(self.path)!r} is a database of something else."
                raise StoreError(message, hint="Choose another path.")
            elif version != self._version:
                message = f"The {self._what} {str(self.path)!r} was created by another version of entra_async."
                raise StoreError(message, hint="Delete it to start anew, or choose another path.")
            else:
                self._opened(database)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Run the block in a transaction."""
    # IMMEDIATE: a transaction that reads first and then writes would fail when two do so.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
