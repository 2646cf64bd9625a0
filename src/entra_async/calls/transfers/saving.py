"""Saving a file as a whole or not at all: written to a temporary file beside it, in threads, and renamed at the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final, final

import anyio
from anyio import to_thread

from entra_async.errors import ConfigurationError

__all__ = ("PartFile", "saving")

_WRITTEN_AT_ONCE: Final = 1024 * 1024  # bytes: a thread for each piece would cost more than the write


@final
class PartFile:
    """The temporary file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0

    async def write(self, data: bytes) -> None:
        """Add bytes; they are buffered until there are enough of them."""
        self._buffer.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes >= _WRITTEN_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Write the buffer."""
        pieces, self._buffer, self._buffered_bytes = self._buffer, [], 0
        if pieces:
            await to_thread.run_sync(self._file.writelines, pieces)

    async def restart(self) -> None:
        """Truncate the file."""
        self._buffer, self._buffered_bytes = [], 0
        await to_thread.run_sync(self._empty)

    def _empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()


@asynccontextmanager
async def saving(target: str | os.PathLike[str]) -> AsyncGenerator[PartFile]:
    """
    Give a temporary file to write to, renamed to *target* when the block ends well; else nothing is left of it.

    Args:
        target: Path of the file; one of that name is replaced at the end.

    Raises:
        ConfigurationError: If no file can be there.
    """
    path, part, file = await to_thread.run_sync(_create, target)
    try:
        written = PartFile(file)
        yield written
        await written.flush()
        await to_thread.run_sync(_finish, file, part, path)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_remove, file, part)
        raise


def _create(target: str | os.PathLike[str]) -> tuple[Path, Path, BinaryIO]:
    try:
        path = Path(target)
        if path.is_dir():
            message = f"to is {os.fspath(target)!r}, which is a directory."
            raise ConfigurationError(message, field="to", hint="Give the path of a file.")
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        return path, part, part.open("xb")
    except ConfigurationError:
        raise
    except (OSError, TypeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        message = f"to is {target!r}, where no file can be written: {why}."
        raise ConfigurationError(message, field="to", hint="Check the directory and its permissions.") from None


def _finish(file: BinaryIO, part: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())  # else a machine that dies now could keep the name and lose the bytes
    file.close()
    part.replace(path)


def _remove(file: BinaryIO, part: Path) -> None:
    file.close()
    part.unlink(missing_ok=True)
