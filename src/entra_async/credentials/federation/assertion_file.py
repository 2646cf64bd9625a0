"""An assertion in a file, which the platform writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import anyio

from entra_async.certificates.abandon import run_abandonable
from entra_async.errors import CredentialUnavailableError

__all__ = ("read_assertion_file",)

_HINT: Final = "Check the path, and that the platform has written it: it is read anew for every token."
_LONGEST_READ_S: Final = 10.0
_LARGEST_BYTES: Final = 1 << 16


async def read_assertion_file(path: str | os.PathLike[str], *, hint: str = _HINT) -> str:
    """
    Return the assertion that a file holds now.

    Args:
        path: The file.
        hint: What to do if it holds none.

    Raises:
        CredentialUnavailableError: If it cannot be read, or holds none.
    """
    # A daemon thread: one that hangs on a dead share would keep the process from ending.
    with anyio.move_on_after(_LONGEST_READ_S):
        return await run_abandonable(lambda: _read(Path(path), hint))
    message = f"The assertion's file {str(path)!r} could not be read within {_LONGEST_READ_S:g} s."
    raise CredentialUnavailableError(message, hint="Check that it is a regular file on a share that answers.")


def _read(path: Path, hint: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        message = f"The assertion's file {str(path)!r} cannot be read: {error.strerror}."
        raise CredentialUnavailableError(message, hint=hint) from error
    text = content.decode("ascii", "ignore").strip()
    if not content.isascii():
        message = f"The file {str(path)!r} holds no assertion."
        raise CredentialUnavailableError(message, hint=hint)
    if not text or len(content) > _LARGEST_BYTES:
        message = f"The file {str(path)!r} is {'too large for an assertion' if text else 'empty'}."
        raise CredentialUnavailableError(message, hint=hint)
    return text
