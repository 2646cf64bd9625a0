"""The opaque ``$skiptoken`` and ``$deltatoken``: signed, dated, and good only for the query they were made for."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

__all__ = ("ForgedTokenError", "PagePosition", "SkipTokens")

_SIGNATURE_BYTES: Final = 16

T = TypeVar("T")


class ForgedTokenError(Exception):
    """The token was never issued, or was issued for another query."""


@dataclass(frozen=True, slots=True)
class PagePosition:
    """
    Where the next page begins.

    Attributes:
        position: The first place of the collection that was not served yet.
        page: Which page that is; the first is 1.
        advanced: Whether the query is an advanced one, so that each page needs its header.
        issued_at: When the token was made, in seconds since the epoch.
        generation: Which tokens it expires with when a test lets them.
        repeated: Numbers of objects that come again on that page, though they were served.
    """

    position: int
    page: int
    advanced: bool
    issued_at: float
    generation: int = 0
    repeated: tuple[int, ...] = ()


class SkipTokens(Generic[T]):
    """
    Issues tokens, and reads only those it issued.

    Args:
        kind: What a token says, a type msgspec can encode.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._key = secrets.token_bytes(32)

    def issue(self, content: T, query: str) -> str:
        """
        Return the token.

        Args:
            content: What :meth:`read` will return.
            query: The query in a form that does not depend on encoding or order; the token holds for no other.
        """
        payload = msgspec.json.encode(content)
        return urlsafe_b64encode(self._sign(payload, query) + payload).rstrip(b"=").decode()

    def read(self, token: str, query: str) -> T:
        """
        Return what the token says.

        Args:
            token: The token.
            query: The query it came with, in the same form.

        Raises:
            ForgedTokenError: If this object did not issue it for this query.
        """
        try:
            signed = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        except ValueError as error:
            raise ForgedTokenError from error
        # base64 can be written in several ways: a token is the very text that was issued, or forged.
        if urlsafe_b64encode(signed).rstrip(b"=").decode() != token:
            raise ForgedTokenError
        signature, payload = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload, query)):
            raise ForgedTokenError
        return msgspec.json.decode(payload, type=self._kind)

    def _sign(self, payload: bytes, query: str) -> bytes:
        return hmac.digest(self._key, payload + b"\n" + query.encode(), "sha256")[:_SIGNATURE_BYTES]
