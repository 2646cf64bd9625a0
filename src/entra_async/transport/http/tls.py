"""The TLS context of the pool."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

from entra_async.errors import ConfigurationError

__all__ = ("build_context",)


def build_context(trust: ssl.SSLContext | str | os.PathLike[str] | None) -> ssl.SSLContext:
    """
    Return the TLS context. Reads files: call it in a worker thread.

    Args:
        trust: A context, used as it is; the path of a PEM file, whose authorities are trusted and no others;
            or ``None`` for the machine's own, which are read once a process, since that takes many milliseconds.

    Raises:
        ConfigurationError: If the file cannot be read or holds no certificate.
    """
    if isinstance(trust, ssl.SSLContext):
        return trust
    if trust is None:
        paths = ssl.get_default_verify_paths()
        return _default_context(_stamp(paths.cafile), _stamp(paths.capath), os.environ.get("SSLKEYLOGFILE"))
    hint = "Give the path of a PEM file with the certificates of the authorities to trust, or an SSLContext."
    path = Path(trust)
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        message = f"ssl is {str(path)!r}, which cannot be read: {error.strerror}."
        raise ConfigurationError(message, field="ssl", hint=hint) from error
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        message = f"ssl is {str(path)!r}, which holds no usable certificate."
        raise ConfigurationError(message, field="ssl", hint=hint) from error


@lru_cache(maxsize=4)
def _default_context(*_: object) -> ssl.SSLContext:
    return ssl.create_default_context()


def _stamp(path: str | None) -> tuple[str, int, int] | None:
    # Authorities that were replaced are read again.
    if path is None:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size
