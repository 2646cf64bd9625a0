"""
Decode response bodies: JSON values, pages of collections, errors. Pure.

JSON objects become plain dicts: a page of 999 users takes a few milliseconds that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

import msgspec

from entra_async.rules.http.json_text import rewrite_json

__all__ = (
    "ErrorBody",
    "Page",
    "WrongShapeError",
    "decode_json",
    "decode_response",
    "decoder_of",
    "first_words",
    "is_json",
    "item_type",
    "name_of",
    "read_error",
)

T = TypeVar("T")

_JSON_SUFFIXES: Final = ("/json", "+json")
_LONGEST: Final = 600
_READ_FOR_WORDS: Final = 20_000
_MOST_WORDS: Final = 100
_UNSHOWN: Final = re.compile(r"<(script|style)\b.*?(</\1>|$)|<!--.*?(-->|$)", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>?")
_LONG_WORD: Final = re.compile(r"(?=\S{0,99}\d)\S{16,}|\S{30,}")
_MOST_DECODERS: Final = 256
_COLLECTIONS: Final = frozenset({tuple, set, frozenset, Sequence, Iterable})
_PAGE_NAMES: Final = frozenset({"value", "nextLink", "count"})


class Page(msgspec.Struct, frozen=True):
    """
    One page of a collection.

    Attributes:
        items: Its items; may be empty although more pages follow.
        next_link: URL of the next page, or ``None`` on the last.
        count: ``@odata.count``: how many items there are in all, when requested; else ``None``.
        delta_link: URL of the changes from now on, on the last page of a delta query; else ``None``.
    """

    items: list[Any]
    next_link: Any = None
    count: int | None = None
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
    return _decode(body, _any)


class WrongShapeError(msgspec.DecodeError):
    """
    A collection where one object was expected, or the other way round.

    Attributes:
        hint: Which ``type=`` to use instead.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Collection(msgspec.Struct, Generic[T]):
    value: list[T] | msgspec.UnsetType = msgspec.UNSET
    odata_link: Any = msgspec.field(default=None, name="@odata.nextLink")
    link: Any = msgspec.field(default=None, name="nextLink")
    count: Any = msgspec.field(default=None, name="@odata.count")
    delta_link: Any = msgspec.field(default=None, name="@odata.deltaLink")


def item_type(kind: Any) -> Any:
    """Return ``User`` for ``list[User]``, ``Any`` for ``list``, and ``None`` for what is no list."""
    if kind is list:
        return Any
    return get_args(kind)[0] if get_origin(kind) is list else None


def _item_of(kind: Any) -> Any:
    # Of other collections than a list, which people write, too.
    is_collection = get_origin(kind) in _COLLECTIONS
    return get_args(kind)[0] if is_collection and get_args(kind) else None


def decoder_of(kind: Any) -> Callable[[bytes], Any]:
    """
    Return the decoder of *kind*; it is made once for each.

    Raises:
        TypeError: If nothing can be decoded into it; also ``ValueError`` and ``NameError``, as msgspec has it.
    """
    try:
        found = _decoders.get(kind)
    except TypeError:  # it has no hash
        return _make_decoder(kind)
    if found is None:
        if len(_decoders) >= _MOST_DECODERS:
            _decoders.clear()
        found = _decoders[kind] = _make_decoder(kind)
    return found


def decode_response(body: bytes, kind: Any = None) -> Any:
    """
    Return the value of a response: a :class:`Page` if it is a collection.

    Args:
        body: JSON.
        kind: What it is decoded into: a type for one object, ``list[…]`` of one for a collection; by default dicts,
            lists and the like.

    Raises:
        msgspec.DecodeError: If it is no JSON, or does not fit *kind*; :class:`WrongShapeError` if it is a collection
            and should be none, or should be one and is none.

    Sources:
        https://learn.microsoft.com/en-us/graph/paging
        https://learn.microsoft.com/en-us/rest/api/azure (nextLink)
    """
    if kind is not None and kind is not Any and kind is not object:
        return _decode(body, decoder_of(kind))
    try:
        document = _any(body)
    except (UnicodeDecodeError, RecursionError):
        document = _decode(body, _any)
    if not isinstance(document, dict) or not isinstance(document.get("value"), list) or not _is_page(document):
        return document
    return Page(
        document["value"],
        document.get("@odata.nextLink") or document.get("nextLink") or None,
        _count(document.get("@odata.count")),
        document.get("@odata.deltaLink") or None,
    )


def _make_decoder(kind: Any) -> Callable[[bytes], Any]:
    item = item_type(kind)
    return _one_decoder(kind) if item is None else _collection_decoder(item, kind)


def _one_decoder(kind: Any) -> Callable[[bytes], Any]:
    decode = msgspec.json.Decoder(kind).decode
    name = name_of(_item_of(kind) or kind)

    def decode_one(body: bytes) -> Any:
        if b'"value"' in body:
            try:
                fields = _raw(body)
            except msgspec.ValidationError:  # JSON, but no object
                return decode(body)
            if bytes(fields.get("value", b"")).startswith(b"[") and _is_page(fields):
                message = "a collection, where one object was expected"
                raise WrongShapeError(message, f"Use type=list[{name}] for every item, or stream() with type={name}.")
        return decode(body)

    return decode_one


def _collection_decoder(item: Any, kind: Any) -> Callable[[bytes], Any]:
    decode = msgspec.json.Decoder(_Collection[item]).decode
    decode_list = msgspec.json.Decoder(kind).decode
    name = name_of(item)

    def decode_collection(body: bytes) -> Any:
        if body.lstrip()[:1] == b"[":
            return decode_list(body)
        page = decode(body)
        if page.value is msgspec.UNSET:
            message = "one object, where a collection was expected"
            raise WrongShapeError(message, f"Use type={name} with invoke() for one object.")
        return Page(page.value, page.odata_link or page.link or None, _count(page.count), page.delta_link or None)

    return decode_collection


def name_of(kind: Any) -> str:
    """Return a type as one writes it."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _decode(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(body)
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


_any: Final = msgspec.json.Decoder().decode
_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decoders: Final[dict[Any, Callable[[bytes], Any]]] = {}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """
    The error in a response's body.

    Attributes:
        code: The innermost code that is a word, or ``None``.
        message: The service's message, or ``None``.
        request_id: The service's id of the request, or ``None``.
    """

    code: str | None = None
    message: str | None = None
    request_id: str | None = None


def read_error(body: bytes) -> ErrorBody:
    """
    Return the error in a response's body. Total: any other body gives an empty one.

    Source:
        https://learn.microsoft.com/en-us/graph/errors
    """
    try:
        document = decode_json(rewrite_json(body, None) or body)
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


def first_words(text: str) -> str:
    """
    Return how a text that should have been JSON begins, for an error: without HTML's tags, and without long words.

    Args:
        text: The text; what looks like a token in it is not shown.
    """
    start = _UNSHOWN.sub(" ", text[:_READ_FOR_WORDS])
    line = _LONG_WORD.sub("***", _tidy(_TAG.sub(" ", start)))
    return line if len(line) <= _MOST_WORDS else f"{line[:_MOST_WORDS].rstrip()}…"


def _tidy(text: str) -> str:
    # A service's message goes into ours and into logs: on one line, without terminal codes, and not by the kilobyte.
    line = " ".join("".join(character if character.isprintable() else " " for character in text[:_LONGEST]).split())
    return f"{line}…" if len(text) > _LONGEST else line
