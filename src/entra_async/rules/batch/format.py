"""
Encode a ``$batch`` request and read its response. Pure.

Sources:
    https://learn.microsoft.com/en-us/graph/json-batching
    https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html#sec_BatchRequestsandResponses
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from entra_async.rules.http.decoding import is_json
from entra_async.rules.http.json_text import rewrite_json

__all__ = (
    "MISSING",
    "ItemResponse",
    "content_type_of",
    "encode_batch",
    "encode_item",
    "read_responses",
    "relative_url",
)


_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_STATUS_DIGITS: Final = 3
_SHOWN: Final = 20


def relative_url(url: str, root: str) -> str | None:
    """Return *url* as it is written in a batch, or ``None`` if it is not below *root*, the service's version."""
    return url[len(root) :] if url.startswith(f"{root}/") else None


def encode_item(number: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """
    Return one item of a batch as JSON.

    Args:
        number: Its id.
        method: In upper case.
        url: Relative to the service's root.
        headers: Its own.
        body: A JSON object if the headers say JSON, else whatever they say.
    """
    item: dict[str, Any] = {"id": number, "method": method, "url": url, "headers": dict(headers)}
    if body is not None:
        as_json = is_json(content_type_of(headers))
        item["body"] = msgspec.Raw(body) if as_json else base64.urlsafe_b64encode(body).decode()
    return msgspec.json.encode(item)


def encode_batch(items: Sequence[bytes]) -> bytes:
    """Return the body of a batch of these items."""
    return b'{"requests":[' + b",".join(items) + b"]}"


@dataclass(frozen=True, slots=True)
class ItemResponse:
    """
    The response to one item.

    Attributes:
        status: HTTP status.
        headers: As the service wrote them.
        body: Its bytes, as if the request had been sent alone.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _Item(msgspec.Struct):
    id: str | int
    status: int | str
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Batch(msgspec.Struct):
    responses: list[msgspec.Raw]


MISSING: Final = "it has no response to this request"
"""What is wrong with a batch's response where an item has none: whether the item was run is not known."""


def read_responses(body: bytes, numbers: Sequence[str]) -> dict[str, ItemResponse | str]:
    """
    Return the response to each item of a batch. Total: whatever came, each item has an entry.

    Args:
        body: The body of the batch's response.
        numbers: The ids that were sent.

    Returns:
        Id to its response, or to what is wrong with it: :data:`MISSING`, for one.
    """
    items = _read_items(body)
    if items is None:
        return dict.fromkeys(numbers, "it is no JSON of a batch's shape")
    found: dict[str, ItemResponse | str] = {}
    for item in items:
        number = str(item.id)
        found[number] = _read_item(item) if number not in found else "it has two responses to this request"
    return {number: found.get(number, MISSING) for number in numbers}


def _read_items(body: bytes) -> list[_Item] | None:
    """Return the items that have the shape of one; ``None`` if it is no batch."""
    try:
        batch = msgspec.json.decode(body, type=_Batch)
    except _REFUSED:
        return _read_items_apart(rewrite_json(body, None) or body)
    items = []
    for raw in batch.responses:
        with suppress(*_REFUSED):
            items.append(msgspec.json.decode(raw, type=_Item))
    return items


def _read_items_apart(body: bytes) -> list[_Item] | None:
    # Python's own parser takes a NaN: it is then the error of the item that has it, not of its neighbours.
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    responses = document.get("responses") if isinstance(document, dict) else None
    if not isinstance(responses, list):
        return None
    items = []
    for response in filter(lambda each: isinstance(each, dict), responses):
        with suppress(*_REFUSED):
            rest = {name: value for name, value in response.items() if name != "body"}
            item = msgspec.convert(rest, _Item)
            if "body" in response:
                item.body = msgspec.Raw(json.dumps(response["body"]).encode())
            items.append(item)
    return items


def _read_item(item: _Item) -> ItemResponse | str:
    text = str(item.status).strip()
    status = int(text) if text.isascii() and text.isdigit() and len(text) == _STATUS_DIGITS else 0
    if not 100 <= status <= 599:  # RFC 9110, section 15
        return f"its response to this request has the status {text[:_SHOWN]}"
    headers = {name: value if isinstance(value, str) else str(value) for name, value in (item.headers or {}).items()}
    return ItemResponse(status, headers, _read_body(item.body, content_type_of(headers)))


def _read_body(raw: msgspec.Raw, content_type: str | None) -> bytes:
    content = bytes(raw)
    if content == b"null":
        return b""
    if content.startswith(b"[") and content_type and not is_json(content_type):
        return _read_numbers(content)
    if not content.startswith(b'"'):
        return content
    try:
        text: str = msgspec.json.decode(rewrite_json(content, None) or content)
    except _REFUSED:
        return content
    decoded = _decode_base64(text)
    # Graph writes what is no JSON in base64, some services behind it JSON, too; OData allows the text itself for texts.
    if is_json(content_type):
        return decoded if decoded is not None and _is_structure(decoded) else content
    if decoded is not None and (content_type or "").startswith("text/"):
        with suppress(UnicodeDecodeError):
            decoded.decode()
            return decoded
        return text.encode()
    return text.encode() if decoded is None else decoded


def _read_numbers(content: bytes) -> bytes:
    try:
        return bytes(msgspec.json.decode(content, type=list[int]))
    except (*_REFUSED, ValueError):
        return content


def _decode_base64(text: str) -> bytes | None:
    joined = "".join(text.split()) if "\n" in text else text
    try:
        return base64.b64decode(joined.replace("-", "+").replace("_", "/") + "=" * (-len(joined) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_structure(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict | list)
    except _REFUSED:
        return False


def content_type_of(headers: Mapping[str, str]) -> str | None:
    """Return the ``Content-Type``, or ``None``."""
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)
