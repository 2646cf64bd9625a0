"""A complete response, as ``raw=True`` gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from entra_async.errors import DecodeError
from entra_async.rules.http.decoding import WrongShapeError, decode_json, decode_response, first_words, is_json
from entra_async.rules.http.json_text import decode_text, find_fault, rewrite_json
from entra_async.transport.http.streams import BodyStream

__all__ = ("Response",)

_REQUEST_IDS: Final = ("request-id", "x-ms-request-id")
_BODILESS: Final = frozenset({202, 204, 205, 304})
_HINT: Final = "Use raw=True if the response is meant to be no JSON."
_HINTS: Final = {"text/html": "A proxy or a network's sign-in page may have responded in its place; else use raw=True."}


class Response(msgspec.Struct, frozen=True):
    """
    The response to one request.

    Attributes:
        status: HTTP status, below 400.
        headers: Name to value; lookups ignore case.
        body: All of it, decompressed.
        method: HTTP method of the request.
        url: Where it was sent, without its query.
        attempts: How many times the request was sent.
        client_request_id: The id we sent.
        stream: The body as it arrives, if it was requested as a stream: whoever has it closes it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    method: str
    url: str
    attempts: int
    client_request_id: str
    stream: BodyStream | None = None

    def __repr__(self) -> str:
        return (
            f"Response(status={self.status!r}, method={self.method!r}, url={self.url!r}, attempts={self.attempts!r}, "
            f"client_request_id={self.client_request_id!r})"
        )

    @property
    def request_id(self) -> str | None:
        """The service's id of the request, for Microsoft's support."""
        return next((self.headers[name] for name in _REQUEST_IDS if name in self.headers), None)

    @property
    def text(self) -> str:
        """The body as text, by its byte order mark or ``charset``, else UTF-8; what is no character is replaced."""
        return decode_text(self.body, self.headers.get("Content-Type"))

    def json(self) -> Any:
        """
        Return the body's JSON value; ``None`` if there is no body and the status or method allows that.

        Raises:
            DecodeError: If the body is not JSON.
        """
        return self._decode(decode_json)

    def read(self, type: Any = None) -> Any:  # noqa: A002 - the name msgspec's users know
        """
        Return the decoded body: a :class:`~entra_async.rules.http.decoding.Page` if it is a collection, else its value.

        Args:
            type: What the value is decoded into, such as a msgspec Struct; ``list[…]`` of it for a collection. By
                default dicts and lists.

        Raises:
            DecodeError: If the body is not JSON, does not fit *type*, or a GET with a *type* brought none.
        """
        if type is None and self.body:
            try:
                return decode_response(self.body)
            except msgspec.DecodeError as error:
                return self._decode_again(decode_response, error)
        return self._decode(lambda body: decode_response(body, type), promised=type is not None)

    def _decode(self, decode: Callable[[bytes], Any], *, promised: bool = False) -> Any:
        # Writes and 202 may well be answered with nothing; a GET that succeeds with nothing was cut off on its way.
        if not self.body and (self.method != "GET" or (self.status in _BODILESS and not promised)):
            return None
        try:
            return decode(self.body)
        except msgspec.DecodeError as error:
            return self._decode_again(decode, error)

    def _decode_again(self, decode: Callable[[bytes], Any], error: msgspec.DecodeError) -> Any:
        # A byte order mark, another encoding, half an emoji: what other JSON libraries read, and services send.
        body = rewrite_json(self.body, self.headers.get("Content-Type"))
        if body is not None:
            try:
                return decode(body)
            except msgspec.DecodeError as second:
                error = second
        raise self._undecodable(error, body or self.body) from None

    def _undecodable(self, error: msgspec.DecodeError, body: bytes) -> DecodeError:
        if isinstance(error, WrongShapeError):
            message = f"{self.method} {self.url} answered {self.status} with {error}."
            return self._decode_error(message, error.hint)
        detail = str(error)
        content_type = self.headers.get("Content-Type")
        what = "nothing" if not self.body else (content_type or "no content type").partition(";")[0]
        if is_json(content_type) or not self.body:
            detail = f" ({find_fault(body) or detail})" if self.body else ""
        else:
            words = first_words(self.text)
            detail = f": {words!r}" if words else ""
        message = f"{self.method} {self.url} answered {self.status} with {what} instead of the JSON asked for{detail}."
        return self._decode_error(message, _HINTS.get(what.strip().lower(), _HINT))

    def _decode_error(self, message: str, hint: str) -> DecodeError:
        return DecodeError(
            message,
            method=self.method,
            url=self.url,
            attempts=self.attempts,
            client_request_id=self.client_request_id,
            hint=hint,
        )
