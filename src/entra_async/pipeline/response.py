"""A complete answer, as ``raw=True`` gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from entra_async.errors import DecodeError
from entra_async.rules.http.decoding import decode_answer, decode_json, is_json

__all__ = ("Response",)

_REQUEST_IDS: Final = ("request-id", "x-ms-request-id")
_BODILESS: Final = frozenset({202, 204, 205, 304})


@dataclass(frozen=True, slots=True)
class Response:
    """
    The answer to one request.

    Attributes:
        status: HTTP status, below 400.
        headers: Name to value; lookups ignore case.
        body: All of it, decompressed.
        method: HTTP method of the request.
        url: Where it was sent, without its query.
        attempts: How many times the request was sent.
        client_request_id: The id we sent.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str
    url: str
    attempts: int
    client_request_id: str

    @property
    def request_id(self) -> str | None:
        """The service's id of the request: what Microsoft's support asks for."""
        return next((self.headers[name] for name in _REQUEST_IDS if name in self.headers), None)

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """
        Return the body's JSON value; ``None`` if there is no body and the status or method allows that.

        Raises:
            DecodeError: If the body is not JSON.
        """
        return self._decode(decode_json)

    def read(self, kind: Any = None) -> Any:
        """
        Return the decoded body: a :class:`~entra_async.rules.http.decoding.Page` if it is a collection, else its value.

        Args:
            kind: What the value, or each item, is decoded into, such as a msgspec Struct; by default dicts and lists.

        Raises:
            DecodeError: If the body is not JSON, or does not fit *kind*.
        """
        return self._decode(lambda body: decode_answer(body, kind))

    def _decode(self, decode: Callable[[bytes], Any]) -> Any:
        # Writes and 202 may well be answered with nothing; a GET that succeeds with nothing was cut off on its way.
        if not self.body and (self.method != "GET" or self.status in _BODILESS):
            return None
        try:
            return decode(self.body)
        except msgspec.DecodeError as error:
            raise self._undecodable(str(error)) from None

    def _undecodable(self, detail: str) -> DecodeError:
        content_type = self.headers.get("Content-Type")
        what = "nothing" if not self.body else (content_type or "no content type").partition(";")[0]
        detail = f" ({detail})" if self.body and is_json(content_type) else ""
        message = f"{self.method} {self.url} answered {self.status} with {what} instead of the JSON asked for{detail}."
        return DecodeError(
            message,
            method=self.method,
            url=self.url,
            attempts=self.attempts,
            client_request_id=self.client_request_id,
            hint="Use raw=True if the answer is meant to be no JSON.",
        )
