"""
From the bytes of an answer to Python values. Pure.

JSON objects become plain dicts: a page of 999 users takes a few milliseconds that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

__all__ = ("ErrorBody", "Page", "decode_answer", "decode_json", "is_json", "read_error")

_JSON_SUFFIXES: Final = ("/json", "+json")
_LONGEST: Final = 600
_PAGE_NAMES: Final = frozenset({"value", "nextLink", "count"})


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of a collection.

    Attributes:
        items: What it holds; may be empty although more pages follow.
        next_link: Where the next page is, or ``None`` on the last.
        count: ``@odata.count``: how many items there are in all, when asked for; else ``None``.
        delta_link: Where the changes since now are, on the last page of a delta query; else ``None``.
    """

    items: list[Any]
    next_link: Any
    count: int | None
    delta_link: Any = None


def is_json(content_type: str | None) -> bool:
    """Return whether a ``Content-Type`` says JSON."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind.endswith(_JSON_SUFFIXES)


def decode_json(body: bytes) -> Any:
    """
    Return the JSON value of *body*.

    Raises:
        msgspec.DecodeError: If it is no JSON.
    """
    return _decode(body, Any)


def decode_answer(body: bytes, kind: Any = None) -> Any:
    """
    Return the JSON value of *body*, or a :class:`Page` if it is a collection.

    A collection is an object whose ``value`` is a list and that has a link to more, or no names but annotations
    (``@odata.…``), ``nextLink`` and ``count``. An object that merely has a property called ``value``, as a Key Vault
    secret has, is none.

    Args:
        body: The bytes.
        kind: What the value, or each item of a collection, is decoded into; by default dicts, lists and the like.

    Raises:
        msgspec.DecodeError: If it is no JSON, or does not fit *kind*.

    Sources:
        https://learn.microsoft.com/en-us/graph/paging
        https://learn.microsoft.com/en-us/rest/api/azure (nextLink)
    """
    if kind is None:
        document = _decode(body, Any)
        if not isinstance(document, dict) or not isinstance(document.get("value"), list) or not _is_page(document):
            return document
        return _page(document, document["value"])
    try:
        fields = _decode(body, dict[str, msgspec.Raw])
    except msgspec.ValidationError:  # JSON, but no object
        return _decode(body, kind)
    if not bytes(fields.get("value", b"")).startswith(b"[") or not _is_page(fields):
        return _decode(body, kind)
    marks = {name: _decode(raw, Any) for name, raw in fields.items() if name != "value"}
    return _page(marks, _decode(fields["value"], list[kind]))


def _decode(body: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        message = f"no UTF-8 at byte {error.start}"
        raise msgspec.DecodeError(message) from None
    except RecursionError:
        message = "nested too deep"
        raise msgspec.DecodeError(message) from None


def _is_page(names: Mapping[str, Any]) -> bool:
    # What has a link to more is a page whatever else it holds: reading only its first part would lose items.
    if names.get("@odata.nextLink") or names.get("nextLink"):
        return True
    return all(name in _PAGE_NAMES or name.startswith("@") for name in names)


def _page(marks: Mapping[str, Any], items: list[Any]) -> Page:
    count = marks.get("@odata.count")
    link = marks.get("@odata.nextLink") or marks.get("nextLink") or None
    count = count if isinstance(count, int) else None
    return Page(items, next_link=link, count=count, delta_link=marks.get("@odata.deltaLink") or None)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """
    What the body of an error says.

    Attributes:
        code: The innermost code that is a word, or ``None``.
        message: The service's own words, or ``None``.
        request_id: The service's id of the request, or ``None``.
    """

    code: str | None = None
    message: str | None = None
    request_id: str | None = None


def read_error(body: bytes) -> ErrorBody:
    """
    Return what the body of an error says. Total: a body of any kind gives at least an empty answer.

    Source:
        https://learn.microsoft.com/en-us/graph/errors
    """
    try:
        document = decode_json(body)
    except msgspec.DecodeError:
        return ErrorBody()
    error = document.get("error") if isinstance(document, Mapping) else None
    if isinstance(error, str):  # OAuth's shape
        described = document.get("error_description")
        return ErrorBody(code=error, message=_tidy(described) if isinstance(described, str) else None)
    if not isinstance(error, Mapping):
        return ErrorBody()
    code, message = error.get("code"), error.get("message")
    request_id = None
    inner: Any = error
    # Graph's gateway writes innerError, some services behind it innererror; it can nest.
    while isinstance(inner := inner.get("innerError", inner.get("innererror")), Mapping):
        deeper, found = inner.get("code"), inner.get("request-id")
        if isinstance(deeper, str) and deeper and not deeper.isdigit():
            code = deeper
        if isinstance(found, str) and found:
            request_id = found
    return ErrorBody(
        code=code if isinstance(code, str) and code else None,
        message=_tidy(message) if isinstance(message, str) and message else None,
        request_id=request_id,
    )


def _tidy(text: str) -> str:
    # A service's words go into messages and logs: on one line, without terminal codes, and not by the kilobyte.
    line = " ".join("".join(character if character.isprintable() else " " for character in text[:_LONGEST]).split())
    return f"{line}…" if len(text) > _LONGEST else line
