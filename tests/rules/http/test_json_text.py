"""JSON in other encodings, with lone surrogates, and with what is no JSON: read, or named with its place."""

from __future__ import annotations

import codecs
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entra_async.errors import DecodeError
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import first_words
from entra_async.rules.http.json_text import decode_text, find_fault, rewrite_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32": b"",
    "utf-32-be": codecs.BOM_UTF32_BE,
}


class User(msgspec.Struct):
    id: str


def response(body: bytes, content_type: str | None = "application/json", **more: Any) -> Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return Response(
        **{
            "status": 200,
            "headers": headers,
            "body": body,
            "method": "GET",
            "url": "https://graph.example/v1.0/users",
            "attempts": 1,
            "client_request_id": "",
            **more,
        }
    )


def without_lone_surrogates(value: Any) -> Any:
    return json.loads(
        json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


@given(values, st.sampled_from(sorted(ENCODINGS)), st.booleans())
@example("\ud83d", "utf-8", True)
@example("\\\ud83dud83d\ude00\udc00", "utf-16-le", True)
@example(2**64, "utf-8-sig", False)
def test_what_services_send_is_read(value: Any, encoding: str, escaped: bool) -> None:
    """JSON is read in every Unicode encoding, with a mark or with a charset, large integers and half pairs included."""
    wanted = without_lone_surrogates(value)
    text = json.dumps(value) if escaped else json.dumps(wanted, ensure_ascii=False)
    marked = response(ENCODINGS[encoding] + text.encode(encoding), None)
    named = response(text.encode(encoding), f'application/json; charset="{encoding.upper()}"; odata.metadata=none')
    for each in (marked, named):
        assert each.json() == wanted


@given(st.binary(), st.text() | st.sampled_from(["text/json;charset=utf-16", "text/x;charset=punycode", "a;charset=7"]))
def test_nothing_else_escapes(body: bytes, content_type: str) -> None:
    """Whatever comes, only a DecodeError is raised, and the body has a text."""
    given_one = response(body, content_type)
    assert isinstance(given_one.text, str)
    for kind in (None, User, list[User]):
        try:
            given_one.read(kind)
        except DecodeError:
            continue
    find_fault(body)
    rewrite_json(body, content_type)
    first_words(decode_text(body, content_type))


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=utf-8", "application/json", None])
def test_a_count_is_a_number(content_type: str | None) -> None:
    """$count is a number as Graph sends it: as text, behind a byte order mark."""
    count = response(codecs.BOM_UTF8 + b"200", content_type)
    assert (count.read(), count.read(int), count.json(), count.text) == (200, 200, 200, "200")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"a": "NaN", "b": NaN}', "NaN at byte 18"),
        (b"[-Infinity]", "-Infinity at byte 1"),
        (b'{"a": [1, 1e999]}', "a number out of range, 1e999, at byte 10"),
        (b"[" + b"9" * 5000 + b"]", "a number out of range, 99999999999999999999…, at byte 1"),
        (b'"\xff"', "no UTF-8 at byte 1"),
    ],
)
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_what_is_no_json_is_named(body: bytes, fault: str, mark: bytes) -> None:
    """A NaN, or a number that no float holds: the error says which and where."""
    with pytest.raises(DecodeError) as caught:
        response(mark + body).read()
    assert fault in str(caught.value)


@pytest.mark.parametrize("kind", [None, list[User]])
def test_a_page_with_half_an_emoji(kind: Any) -> None:
    """A text that a service cut in the middle of a pair costs that character, not the page."""
    page = response(b'{"value":[{"id":"a\\ud83d"},{"id":"\\ud83d\\ude00\\\\ud83d"}],"@odata.nextLink":"n"}').read(kind)
    found = [item["id"] if kind is None else item.id for item in page.items]
    assert (found, page.next_link) == (["a\ufffd", "\U0001f600\\ud83d"], "n")


@pytest.mark.parametrize(
    ("given_one", "kind", "parts"),
    [
        (response(b""), None, ["200 with nothing", "graph.example"]),
        (response(b"", None, status=204), User, ["204 with nothing", "graph.example"]),
        (
            response(b"<html><head><style>b{}</style><title>Sign in</title><body>Welcome &amp; pay", "text/html"),
            None,
            ["200 with text/html", "Sign in Welcome", "graph.example", "proxy"],
        ),
        (response(b"eyJ" + b"x" * 60 + b" hello", "text/plain"), None, ["'*** hello'"]),
        (response(b"\xff\xfeh\x00i\x00", None), None, ["no content type", "'hi'"]),
    ],
)
def test_what_came_instead_is_shown(given_one: Response, kind: Any, parts: list[str]) -> None:
    """An error for what is no JSON has its type, its first words and its host, and nothing that may be a token."""
    with pytest.raises(DecodeError) as caught:
        given_one.read(kind)
    for part in parts:
        assert part in str(caught.value)
    assert "eyJ" not in str(caught.value)


def test_nothing_was_promised() -> None:
    """Without a type, and of a write, 204 is None."""
    assert response(b"", status=204).read() is None
    assert response(b"", status=204, method="PATCH").read(User) is None
