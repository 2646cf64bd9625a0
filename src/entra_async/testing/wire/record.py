"""The record of what arrived at the emulator, with every secret masked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, overload
from urllib.parse import unquote_plus

import anyio
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ("RECORD", "RecordedRequest", "RequestLog", "mask_form", "mask_headers", "mask_query", "mask_raw_query")

_MASK: Final = "***"
# A form is shown by what is known to be harmless: whatever else a client sends may be a secret, however it spells it.
_SHOWN_FIELDS: Final = frozenset(
    {"grant_type", "client_id", "scope", "resource", "claims", "client_info", "client_assertion_type"}
    | {"requested_token_use", "redirect_uri", "username", "response_type", "response_mode", "client-request-id"}
)
_SHOWN_PREFIX: Final = "x-client-"
# Queries and headers hold too much that tests look for; theirs are hidden by name, written without "-" and "_".
_SECRET_NAMES: Final = frozenset(
    {"assertion", "clientassertion", "clientsecret", "code", "codeverifier", "devicecode", "password", "secret"}
    | {"accesstoken", "actortoken", "idtoken", "refreshtoken", "subjecttoken", "apikey", "xapikey", "sig", "tempauth"}
    | {"authorization", "proxyauthorization", "xmsauthorizationauxiliary", "xidentityheader", "cookie"}
)


@dataclass(slots=True, kw_only=True)
class RecordedRequest:
    """
    One request that arrived.

    Attributes:
        service: Which service it reached: ``"identity"``, ``"graph"``, ``"endpoint"``, …
        method: HTTP method.
        path: Path, percent-decoded, without the query.
        query: Query parameters; of a repeated one, the last value.
        raw_query: The query as it was sent, percent-encoded and in order.
        headers: Headers, names in lower case.
        at: When it arrived, epoch seconds on the emulator's clock.
        form: Fields of a form posted to Entra ID; empty for everything else.
        status: Status of the response; ``None`` while there is none, and for good when the connection was cut.
        item_id: Of an item of a batch, its ``id``; ``None`` for a request that arrived by itself.
        items: What a batch held, in its order. Items are found here only, so that a record stands for one arrival.
    """

    service: str
    method: str
    path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    at: float
    form: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    item_id: str | None = None
    items: list[RecordedRequest] = field(default_factory=list)


RECORD: Final = web.RequestKey("record", RecordedRequest)
"""Where a service finds the record of the request it handles."""


class RequestLog:
    """
    Every request since the emulator started, or since :meth:`clear`, in order of arrival.

    Attributes:
        keep: How many of the latest requests it holds: 0 for none, ``None``, the default, for all. A record takes about
            1.6 KB, which counts when a million requests are made.
    """

    def __init__(self) -> None:
        self.keep: int | None = None
        self._records: list[RecordedRequest] = []
        self._arrival: anyio.Event | None = None  # there while somebody waits

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RecordedRequest]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> RecordedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedRequest]: ...
    def __getitem__(self, index: int | slice) -> RecordedRequest | list[RecordedRequest]:
        return self._records[index]

    def __repr__(self) -> str:
        lines = [f"  {record.service}: {record.method} {record.path} {record.status}" for record in self._records]
        return "\n".join([f"<RequestLog of {len(self)}", *lines]) + ">"

    def append(self, record: RecordedRequest) -> None:
        """Add what has just arrived."""
        self._records.append(record)
        if self.keep is not None and len(self) > self.keep:
            del self._records[: len(self) - self.keep]
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self._records.clear()

    def items(self, *, method: str | None = None, path: str | None = None) -> list[RecordedRequest]:
        """Return the items of all batches that fit; the conditions are those of :meth:`matching`."""
        return [item for record in self._records for item in record.items if _fits(item, method=method, path=path)]

    def matching(
        self, *, method: str | None = None, path: str | None = None, service: str | None = None
    ) -> list[RecordedRequest]:
        """
        Return the requests that fit all conditions given.

        Args:
            method: HTTP method.
            path: The path itself, or a regular expression for the whole of it.
            service: Name of the service.
        """
        return [
            record
            for record in self._records
            if (service is None or record.service == service) and _fits(record, method=method, path=path)
        ]

    def count(self, *, method: str | None = None, path: str | None = None, service: str | None = None) -> int:
        """Return how many requests fit; the conditions are those of :meth:`matching`."""
        return len(self.matching(method=method, path=path, service=service))

    async def wait_for(
        self,
        count: int = 1,
        *,
        method: str | None = None,
        path: str | None = None,
        service: str | None = None,
        timeout_s: float = 10.0,
    ) -> list[RecordedRequest]:
        """
        Wait until that many requests that fit have arrived, responded to or not, and return them.

        Args:
            count: How many.
            method: As :meth:`matching` takes it.
            path: As :meth:`matching` takes it.
            service: As :meth:`matching` takes it.
            timeout_s: Real seconds to wait at most.

        Raises:
            TimeoutError: If they have not arrived by then.
        """
        with anyio.move_on_after(timeout_s):
            while len(found := self.matching(method=method, path=path, service=service)) < count:
                self._arrival = self._arrival or anyio.Event()
                await self._arrival.wait()
            return found
        arrived = len(self.matching(method=method, path=path, service=service))
        message = f"Only {arrived} of {count} such requests arrived within {timeout_s:g} seconds:\n{self!r}"
        raise TimeoutError(message)


def _fits(record: RecordedRequest, *, method: str | None, path: str | None) -> bool:
    return (method is None or record.method == method.upper()) and (
        path is None or record.path == path or re.fullmatch(path, record.path) is not None
    )


def mask_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return *headers* with lower-case names and without credentials."""
    return {name.lower(): _MASK if _is_secret(name) else value for name, value in headers}


def mask_query(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return decoded query parameters without credentials."""
    return {name: _MASK if _is_secret(name) else value for name, value in query}


def mask_raw_query(query: str) -> str:
    """Return a query string, encoded as it was, without credentials."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(
        f"{name}={_MASK}" if sign and _is_secret(unquote_plus(name)) else f"{name}{sign}{value}"
        for name, sign, value in pairs
    )


def mask_form(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return form fields without the values of those that might be credentials."""
    return {name: value if _is_shown(name.lower()) else _MASK for name, value in fields}


def _is_shown(name: str) -> bool:
    return name in _SHOWN_FIELDS or name.startswith(_SHOWN_PREFIX)


def _is_secret(name: str) -> bool:
    return name.strip().lower().replace("-", "").replace("_", "") in _SECRET_NAMES
