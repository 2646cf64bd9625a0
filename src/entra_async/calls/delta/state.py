"""Where a delta query keeps how far it came, and what it knows of."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol, TypeVar, final
from uuid import UUID

from anyio import to_thread

from entra_async.errors import StoreError
from entra_async.sqlite_file import SQLiteFile, transaction

__all__ = ("DeltaState", "DeltaStore")

T = TypeVar("T")

_SLACK: Final = 10_000
_SCHEMA: Final = (
    # What was told last of an id counts, so that a page is appended and nothing is looked up.
    """
    CREATE TABLE told (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, sweep INTEGER NOT NULL, present INTEGER NOT NULL
    )
    """,
    "CREATE TABLE state (mark BLOB, tidied INTEGER NOT NULL, kept INTEGER NOT NULL)",
    "INSERT INTO state VALUES (NULL, 0, 0)",
)
_LAST: Final = "(SELECT id, sweep, present, max(number) FROM told GROUP BY id)"


class DeltaStore(Protocol):
    """
    Keeps the state of one delta query, wherever that is: :class:`DeltaState` keeps it in a file.

    Each method does all or nothing. What it raises ends the query that uses it.
    """

    async def load(self) -> bytes | None:
        """Return the mark that was saved last, or ``None`` if there is none."""
        ...

    async def save(
        self,
        mark: bytes,
        *,
        replacing: bytes | None,
        sweep: int,
        told: Iterable[tuple[str, bool]],
    ) -> None:
        """
        Keep *mark* in place of *replacing*, and what was told.

        Args:
            mark: Some hundred bytes.
            replacing: What :meth:`load` gives now; if it is anything else, raise: somebody else has moved it on.
            sweep: Counts how often everything was read.
            told: Ids in the order they were told, with ``True`` for an object that is there, ``False`` for one that was
                removed. The last word on an id counts.
        """
        ...

    async def missing(self, *, before: int, limit: int) -> list[str]:
        """
        Return ids of objects that are there by what was told last, and that were told last in a sweep before *before*.

        Args:
            before: The sweep.
            limit: How many, at most.
        """
        ...


@final
class DeltaState:
    """
    The state of one delta query in a file: ``graph.delta("users/delta", state=DeltaState("users.delta"))``.

    The file is an SQLite database: each page is one transaction, so that the process may be killed at any moment. It
    holds the link to go on with and the id of every object that is there, about 26 bytes each for a GUID, since only so
    can be told what was deleted when the service has forgotten its own state. It holds no secret. All work is done in
    a worker thread.

    Args:
        path: The file; made when it is first used, with mode 0600.

    Raises:
        ConfigurationError: If *path* is no path.
        StoreError: When it is used: if the file is no state of a delta query, or is damaged. It is not changed then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SQLiteFile(
            path, what="state of a delta query", application=0x656E6474, version=1, schema=_SCHEMA, private=False
        )

    def __repr__(self) -> str:
        return f"<DeltaState {str(self._file.path)!r}>"

    async def load(self) -> bytes | None:
        """Return the mark that was saved last; see :class:`DeltaStore`. The whole file is checked for damage."""

        def load(database: sqlite3.Connection) -> bytes | None:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            mark, tidied, kept = database.execute("SELECT mark, tidied, kept FROM state").fetchone()
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM told").fetchone()
            if last - tidied > kept + _SLACK:  # more than half of it is outdated, perhaps
                _tidy(database, last)
            return mark if mark is None else bytes(mark)

        return await self._run(load)

    async def save(
        self,
        mark: bytes,
        *,
        replacing: bytes | None,
        sweep: int,
        told: Iterable[tuple[str, bool]],
    ) -> None:
        """Keep a mark and what was told; see :class:`DeltaStore`."""
        rows = [(_pack(name), sweep, present) for name, present in told]

        def save(database: sqlite3.Connection) -> None:
            with transaction(database):
                if database.execute("UPDATE state SET mark = ? WHERE mark IS ?", (mark, replacing)).rowcount != 1:
                    message = f"{str(self._file.path)!r} was moved on by somebody else meanwhile."
                    raise StoreError(message, hint="Let one delta query at a time use it.")
                database.executemany("INSERT INTO told (id, sweep, present) VALUES (?, ?, ?)", rows)

        await self._run(save)

    async def missing(self, *, before: int, limit: int) -> list[str]:
        """Return ids that were not told again; see :class:`DeltaStore`."""

        def missing(database: sqlite3.Connection) -> list[str]:
            found = database.execute(
                f"SELECT id FROM {_LAST} WHERE present AND sweep < ? LIMIT ?",  # noqa: S608 - a text of ours
                (before, limit),
            )
            return [_unpack(name) for (name,) in found]

        return await self._run(missing)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await to_thread.run_sync(partial(self._file.use, work))


def _tidy(database: sqlite3.Connection, last: int) -> None:
    with transaction(database):
        database.execute(
            "DELETE FROM told WHERE NOT present OR number NOT IN (SELECT max(number) FROM told GROUP BY id)"
        )
        database.execute("UPDATE state SET tidied = ?, kept = (SELECT count(*) FROM told)", (last,))


def _pack(name: str) -> bytes | str:
    # A GUID takes 16 bytes instead of 36; any other spelling of one has to stay as it is.
    try:
        short = UUID(name)
    except ValueError:
        return name
    return short.bytes if str(short) == name else name


def _unpack(name: bytes | str) -> str:
    return name if isinstance(name, str) else str(UUID(bytes=name))
