"""The bytes of a certificate, from a file or the caller, and their name in errors. Blocking."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from entra_async.errors import ConfigurationError

__all__ = ("CertificateBytes", "read_source")

# A key with a long chain takes a few tens of kilobytes; more is not what was meant.
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CertificateBytes:
    """
    The source of a certificate's bytes.

    Attributes:
        name: Its name in errors: the path, or "The data".
        field: The parameter: ``"path"`` or ``"data"``.
    """

    name: str
    field: str

    def error(self, *, problem: str, hint: str, field: str | None = None) -> ConfigurationError:
        """Return a ``ConfigurationError`` about it."""
        return ConfigurationError(f"{self.name} {problem}", field=field or self.field, hint=hint)


def read_source(path: str | os.PathLike[str] | None, data: bytes | None) -> tuple[CertificateBytes, bytes]:
    """
    Return the source and its bytes. Blocks while it reads.

    Raises:
        ConfigurationError: If not exactly one of *path* and *data* is given, or it cannot be read, or is empty.
    """
    if path is not None and data is None:
        source = CertificateBytes(str(path), "path")
        content = _read(path, source)
    elif data is not None and path is None:
        source = CertificateBytes("The data", "data")
        if not isinstance(data, bytes | bytearray | memoryview):
            hint = "Encode PEM text with .encode(); decode base64 text with base64.b64decode()."
            raise source.error(problem=f"is a {type(data).__name__}, not bytes.", hint=hint)
        content = bytes(data)
    else:
        message = "A certificate file comes from exactly one of path and data."
        raise ConfigurationError(message, field="path", hint="Give one of them.")
    if not content.strip():
        raise source.error(problem="is empty.", hint="Check that what writes it has finished, and wrote to this place.")
    return source, content


def _read(path: str | os.PathLike[str], source: CertificateBytes) -> bytes:
    try:
        # Windows says of a directory that it may not be read.
        content = None if Path(path).is_dir() else _read_file(Path(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        # A relative path is not always relative to what one thinks.
        hint = f"Check the path: it means {Path(path).absolute()}."
        raise source.error(problem="does not exist.", hint=hint) from error
    except PermissionError as error:
        hint = "Let the user that this process runs as read the file and enter its directories."
        raise source.error(problem="may not be read by this process.", hint=hint) from error
    except OSError as error:
        raise source.error(problem=f"cannot be read: {error.strerror}.", hint="Check the path.") from error
    except (TypeError, ValueError) as error:
        message = f"path cannot be the path of a file: {path!r}."
        raise ConfigurationError(message, field="path", hint="Give a str or os.PathLike.") from error
    if content is None:
        raise source.error(problem="is a directory.", hint="Give the path of the certificate file in it.")
    if len(content) > _MAX_BYTES:
        raise source.error(
            problem="is too large for a certificate file.", hint="Check the path: a PFX or PEM file is meant."
        )
    return content


def _read_file(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_BYTES + 1)
