"""
The position of a stream, as a text that another process can resume from. Pure.

A position holds the link of a page and an offset in it. A link holds the query and a page token of the service, but no
credential.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from entra_async.errors import ConfigurationError

__all__ = ("Position", "fingerprint", "pack", "unpack")

_VERSION: Final = 1


class Position(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """
    A position between two items of a collection.

    Attributes:
        query: :func:`fingerprint` of the first page's URL.
        link: URL of the page; empty for the first one.
        done: How many of its items were yielded.
        last: :func:`fingerprint` of the key of the last of them; empty if it has none.
        ended: Whether there is nothing after it.
        version: Of this format.
    """

    query: str
    link: str = ""
    done: int = 0
    last: str = ""
    ended: bool = False
    version: int = _VERSION


def fingerprint(text: str) -> str:
    """Return 16 characters that stand for *text*, the same in every process."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def pack(position: Position) -> str:
    """Return the position as one word of letters, digits, ``-`` and ``_``."""
    return urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def unpack(text: object, *, query: str) -> Position:
    """
    Return the position that :func:`pack` made a text of.

    Args:
        text: The text.
        query: :func:`fingerprint` of the URL it is to be used with.

    Raises:
        ConfigurationError: If it is damaged, or belongs to another query.
    """
    hint = "Give what .position of a stream of the same path and query said, or leave it out."
    try:
        if not isinstance(text, str):
            raise TypeError
        packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        position = msgspec.json.decode(packed, type=Position)
    except (TypeError, ValueError):
        message = "start is not the position of a stream, or it is damaged."
        raise ConfigurationError(message, field="start", hint=hint) from None
    if position.version != _VERSION or position.done < 0:
        message = "start is a position that another version of entra_async made."
        raise ConfigurationError(message, field="start", hint=hint)
    if position.query != query:
        message = "start is a position of another query."
        raise ConfigurationError(message, field="start", hint=hint)
    return position
