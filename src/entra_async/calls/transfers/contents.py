"""The content of an upload: bytes, a path, an open file or an async iterable, of which a chunk or two are in memory."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, Protocol, TypeAlias

from anyio import to_thread

from entra_async.errors import ConfigurationError, ContentChangedError, RequestError

__all__ = ("Content", "Uploadable", "open_content")

Uploadable: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | AsyncIterable[bytes]
"""What can be uploaded; a ``str`` is a path."""

_HINT: Final = "Give bytes, a path, a file opened in binary mode, or an async iterable of bytes."


class Content(Protocol):
    """
    The content of an upload.

    Attributes:
        size: All of it, in bytes.
        rewindable: Whether any part can be read again.
    """

    size: int
    rewindable: bool

    async def read(self, start: int, length: int) -> bytes:
        """
        Return exactly so many bytes from that offset on.

        Raises:
            ContentChangedError: If they are not there, or what is read has changed since the upload began.
            RequestError: If they were given once and are gone.
        """
        ...


@asynccontextmanager
async def open_content(content: Any, size: int | None) -> AsyncGenerator[Content]:
    """
    Open what the caller gives; only what was opened here is closed.

    Args:
        content: See this module.
        size: Bytes in it; only what cannot be measured needs it.

    Raises:
        ConfigurationError: If it is nothing that can be sent, or of another size.
    """
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        message = f"size is {size!r}."
        raise ConfigurationError(message, field="size", hint="Give the number of bytes.")
    if isinstance(content, bytes | bytearray | memoryview):
        yield _MemoryContent(content, size)
    elif isinstance(content, str | os.PathLike):
        file = await to_thread.run_sync(_open, content)
        try:
            yield await to_thread.run_sync(_FileContent, file, size)
        finally:
            await to_thread.run_sync(file.close)
    elif isinstance(content, AsyncIterable):
        yield _StreamContent(aiter(content), size)
    elif callable(getattr(content, "read", None)) and not isinstance(content, TextIOBase):
        yield await to_thread.run_sync(_FileContent, content, size)
    else:
        message = f"content is a {type(content).__name__}, which cannot be sent."
        raise ConfigurationError(message, field="content", hint=_HINT)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        message = f"{str(path)!r} cannot be read: {error.strerror}."
        raise ConfigurationError(message, field="content", hint="Check the path and its permissions.") from None


def _check_size(size: int | None, found: int) -> int:
    if size is not None and size != found:
        message = f"size is {size}, but the content has {found} bytes."
        raise ConfigurationError(message, field="size", hint="Leave it out: it is measured.")
    return found


def _fail_as_changed(what: str) -> NoReturn:
    message = f"The content {what} while it was uploaded."
    raise ContentChangedError(message, method="PUT", hint="Upload it again when nobody writes to it.")


class _MemoryContent:
    rewindable = True

    def __init__(self, content: bytes | bytearray | memoryview, size: int | None) -> None:
        view = memoryview(content)
        self._view = (view if view.c_contiguous else memoryview(bytes(view))).cast("B")
        self.size = _check_size(size, self._view.nbytes)

    async def read(self, start: int, length: int) -> bytes:
        return bytes(self._view[start : start + length])


class _FileContent:
    """
    An open file, from its current position. Every method but :meth:`read` blocks, and runs in a thread.

    A file that cannot be rewound is read once, from the front.
    """

    def __init__(self, file: Any, size: int | None) -> None:
        self._file = file
        self.rewindable = bool(getattr(file, "seekable", lambda: False)())
        self._start = file.tell() if self.rewindable else 0
        self._begun = 0  # offset of the buffer of a file that cannot be rewound
        self._buffer = b""
        if self.rewindable:
            size = _check_size(size, max(0, file.seek(0, os.SEEK_END) - self._start))
        if size is None:
            message = "content is a file whose size is not known."
            raise ConfigurationError(message, field="size", hint="Give size=, in bytes.")
        self.size = size
        self._state = self._stat()

    def _stat(self) -> tuple[int, int] | None:
        try:
            state = os.fstat(self._file.fileno())
        except (AttributeError, OSError, ValueError):  # no file of the system
            return None
        return state.st_size, state.st_mtime_ns

    async def read(self, start: int, length: int) -> bytes:
        return await to_thread.run_sync(self._read, start, length)

    def _read(self, start: int, length: int) -> bytes:
        data = self._seek_and_read(start, length) if self.rewindable else self._read_on(start, length)
        if len(data) < length:
            _fail_as_changed(f"ended after {start + len(data)} of {self.size} bytes")
        if self.rewindable and (
            self._stat() != self._state or self._file.seek(0, os.SEEK_END) != self._start + self.size
        ):
            _fail_as_changed("changed")
        if not self.rewindable and start + length == self.size and self._file.read(1):
            _fail_as_changed(f"went on after {self.size} bytes")
        return data

    def _seek_and_read(self, start: int, length: int) -> bytes:
        self._file.seek(self._start + start)
        return self._fill(length)

    def _read_on(self, start: int, length: int) -> bytes:
        if start < self._begun:
            _fail_as_gone(start)
        if start > self._begun + len(self._buffer):
            self._fill(start - self._begun - len(self._buffer))
        self._buffer = self._buffer[start - self._begun :]
        self._begun = start
        self._buffer += self._fill(length - len(self._buffer))
        return self._buffer[:length]

    def _fill(self, length: int) -> bytes:
        # A raw or piped file may give less than it was asked for.
        pieces: list[bytes] = []
        while length > 0:
            piece = self._file.read(length)
            if not isinstance(piece, bytes):
                message = f"The content gives {type(piece).__name__} instead of bytes."
                raise ConfigurationError(message, field="content", hint=_HINT)
            if not piece:
                break
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)


def _fail_as_gone(start: int) -> NoReturn:
    message = f"The service wants the content from byte {start} on again, but it can be read once only."
    raise RequestError(message, method="PUT", hint="Give bytes, a path, or a file that can be rewound.")


class _StreamContent:
    rewindable = False

    def __init__(self, pieces: AsyncIterator[bytes], size: int | None) -> None:
        if size is None:
            message = "content is an async iterable, whose size is not known."
            raise ConfigurationError(message, field="size", hint="Give size=, in bytes.")
        self.size = size
        self._pieces = pieces
        self._begun = 0  # offset of the buffer
        self._buffer = bytearray()

    async def read(self, start: int, length: int) -> bytes:
        if start < self._begun:
            _fail_as_gone(start)
        last = start + length == self.size
        while True:
            drop = min(start - self._begun, len(self._buffer))
            del self._buffer[:drop]
            self._begun += drop
            if len(self._buffer) > length or (len(self._buffer) == length and not last):
                break
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                break
            if not isinstance(piece, bytes | bytearray | memoryview):
                message = f"The content yields {type(piece).__name__} instead of bytes."
                raise ConfigurationError(message, field="content", hint=_HINT)
            self._buffer += piece
        if len(self._buffer) < length:
            _fail_as_changed(f"ended after {self._begun + len(self._buffer)} of {self.size} bytes")
        if last and len(self._buffer) > length:
            _fail_as_changed(f"went on after {self.size} bytes")
        return bytes(self._buffer[:length])
