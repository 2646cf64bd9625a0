"""The state of a delta query: its checkpoint, and the ids of the objects that exist, in a file or any other store."""

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

_MAX_OUTDATED: Final = 10_000
_SCHEMA: Final = (
    # The last change of an id counts, so that a page is appended and nothing is looked up.
    """
    CREATE TABLE changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        generation INTEGER NOT NULL,
        present INTEGER NOT NULL
    )
    """,
    "CREATE TABLE state (checkpoint BLOB, compacted INTEGER NOT NULL, live INTEGER NOT NULL)",
    "INSERT INTO state VALUES (NULL, 0, 0)",
)
_LAST: Final = "(SELECT id, generation, present, max(number) FROM changes GROUP BY id)"


class DeltaStore(Protocol):
    """
    Stores the state of one delta query; :class:`DeltaState` does so in a file.

    Each method does all or nothing. What it raises ends the query that uses it.
    """

    async def load(self) -> bytes | None:
        """Return the checkpoint that was saved last, or ``None`` if there is none."""
        ...

    async def save(
        self,
        checkpoint: bytes,
        *,
        replacing: bytes | None,
        generation: int,
        changes: Iterable[tuple[str, bool]],
    ) -> None:
        """
        Store *checkpoint* in place of *replacing*, and the changes.

        Args:
            checkpoint: Some hundred bytes.
            replacing: What :meth:`load` returns now; if it is anything else, raise: another run has saved its own.
            generation: The number of the full synchronization; the first is 1.
            changes: Ids in order, with ``True`` for an object that exists, ``False`` for one that was removed. The last
                change of an id counts.
        """
        ...

    async def missing(self, *, before: int, limit: int) -> list[str]:
        """
        Return ids of objects that exist by their last change, if that is of a generation before *before*.

        Args:
            before: The generation.
            limit: How many, at most.
        """
        ...


@final
class DeltaState:
    """
    The state of one delta query in a file: ``graph.delta("users/delta", state=DeltaState("users.delta"))``.

    The file is an SQLite database: each page is one transaction, so that the process may be killed at any moment. It
    holds the next link and the id of every object that exists, about 26 bytes each for a GUID, to find what was deleted
    after the service's own state has expired. It holds no secret. All work is done in a worker thread.

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
        """Return the checkpoint that was saved last; see :class:`DeltaStore`. The whole file is checked for damage."""

        def load(database: sqlite3.Connection) -> bytes | None:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            checkpoint, compacted, live = database.execute("SELECT checkpoint, compacted, live FROM state").fetchone()
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM changes").fetchone()
            if last - compacted > live + _MAX_OUTDATED:  # more than half of it is outdated, perhaps
                _compact(database, last)
            return checkpoint if checkpoint is None else bytes(checkpoint)

        return await self._run(load)

    async def save(
        self,
        checkpoint: bytes,
        *,
        replacing: bytes | None,
        generation: int,
        changes: Iterable[tuple[str, bool]],
    ) -> None:
        """Store a checkpoint and changes; see :class:`DeltaStore`."""
        rows = [(_pack(name), generation, present) for name, present in changes]

        def save(database: sqlite3.Connection) -> None:
            with transaction(database):
                update = "UPDATE state SET checkpoint = ? WHERE checkpoint IS ?"
                if database.execute(update, (checkpoint, replacing)).rowcount != 1:
                    message = f"{str(self._file.path)!r} was changed by another run meanwhile."
                    raise StoreError(message, hint="Let one delta query at a time use it.")
                database.executemany("INSERT INTO changes (id, generation, present) VALUES (?, ?, ?)", rows)

        await self._run(save)

    async def missing(self, *, before: int, limit: int) -> list[str]:
        """Return ids without a change of that generation; see :class:`DeltaStore`."""

        def missing(database: sqlite3.Connection) -> list[str]:
            found = database.execute(
                f"SELECT id FROM {_LAST} WHERE present AND generation < ? LIMIT ?",  # noqa: S608 - a text of ours
                (before, limit),
            )
            return [_unpack(name) for (name,) in found]

        return await self._run(missing)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await to_thread.run_sync(partial(self._file.use, work))


def _compact(database: sqlite3.Connection, last: int) -> None:
    with transaction(database):
        database.execute(
            "DELETE FROM changes WHERE NOT present OR number NOT IN (SELECT max(number) FROM changes GROUP BY id)"
        )
        database.execute("UPDATE state SET compacted = ?, live = (SELECT count(*) FROM changes)", (last,))


def _pack(name: str) -> bytes | str:
    # A GUID takes 16 bytes instead of 36; any other spelling of one has to stay as it is.
    try:
        short = UUID(name)
    except ValueError:
        return name
    return short.bytes if str(short) == name else name


def _unpack(name: bytes | str) -> str:
    return name if isinstance(name, str) else str(UUID(bytes=name))
