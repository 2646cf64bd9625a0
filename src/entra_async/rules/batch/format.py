"""
Encode a ``$batch`` request and read its response. Pure.

Sources:
    https://learn.microsoft.com/en-us/graph/json-batching
    https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html#sec_BatchRequestsandResponses
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from entra_async.rules.http.decoding import is_json
from entra_async.rules.http.json_text import rewrite_json

__all__ = ("ItemResponse", "content_type_of", "encode_batch", "encode_item", "read_responses", "relative_url")


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
        json = is_json(content_type_of(headers))
        item["body"] = msgspec.Raw(body) if json else base64.urlsafe_b64encode(body).decode()
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
    status: int
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Batch(msgspec.Struct):
    responses: list[msgspec.Raw]


def read_responses(body: bytes, numbers: Sequence[str]) -> dict[str, ItemResponse | str]:
    """
    Return the response to each item of a batch. Total: whatever came, each item has an entry.

    Args:
        body: The body of the batch's response.
        numbers: The ids that were sent.

    Returns:
        Id to its response, or to what is wrong with it.
    """
    try:
        batch = msgspec.json.decode(rewrite_json(body, None) or body if body[:1] != b"{" else body, type=_Batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return dict.fromkeys(numbers, "it is no JSON of a batch's shape")
    found: dict[str, ItemResponse | str] = {}
    for raw in batch.responses:
        try:
            item = msgspec.json.decode(raw, type=_Item)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        number = str(item.id)
        found[number] = _read_item(item) if number not in found else "it has two responses to this request"
    missing = "it has no response to this request"
    return {number: found.get(number, missing) for number in numbers}


def _read_item(item: _Item) -> ItemResponse | str:
    if not 100 <= item.status <= 599:  # RFC 9110, section 15
        return f"its response to this request has the status {item.status}"
    headers = {name: value if isinstance(value, str) else str(value) for name, value in (item.headers or {}).items()}
    return ItemResponse(item.status, headers, _read_body(item.body, content_type_of(headers)))


def _read_body(raw: msgspec.Raw, content_type: str | None) -> bytes:
    content = bytes(raw)
    if content == b"null":
        return b""
    if not content.startswith(b'"') or is_json(content_type):
        return content
    text: str = msgspec.json.decode(content)
    # Graph writes what is no JSON in base64; OData allows the text itself for texts.
    try:
        decoded = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        if (content_type or "").startswith("text/"):
            decoded.decode()
    except (binascii.Error, ValueError):
        return text.encode()
    return decoded


def content_type_of(headers: Mapping[str, str]) -> str | None:
    """Return the ``Content-Type``, or ``None``."""
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)
