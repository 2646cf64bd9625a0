"""From bytes to values, pages and reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.http.decoding import (
    ErrorBody,
    Page,
    WrongShapeError,
    decode_json,
    decode_response,
    is_json,
    read_error,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["error", "code", "innerError"]), inner)
    ),
    max_leaves=20,
)


class User(msgspec.Struct):
    id: str


@pytest.mark.parametrize("kind", [None, list[User]])
def test_a_page_is_told_by_its_names(kind: Any) -> None:
    """A list in value beside annotations is a page, empty or not, whatever the service calls its link."""
    graph = decode_response(b'{"@odata.context":"c","@odata.count":3,"@odata.nextLink":"n","value":[{"id":"1"}]}', kind)
    azure = decode_response(b'{"value":[],"nextLink":"n"}', kind)
    last = decode_response(b' { "value" : [ ] } ', kind)

    assert isinstance(graph, Page)
    assert graph == Page([{"id": "1"}] if kind is None else [User("1")], next_link="n", count=3)
    assert azure == Page([], next_link="n", count=None)
    assert last == Page([], next_link=None, count=None)


@pytest.mark.parametrize(
    "body", [b'{"value":"secret","id":"x"}', b'{"value":[1],"id":"x"}', b'{"id":"x"}', b"[1]", b"1", b'"x"']
)
def test_an_object_with_a_value_is_no_page(body: bytes) -> None:
    """A Key Vault secret, a list, a bare number: values, not pages."""
    assert decode_response(body) == json.loads(body)


def test_a_single_object_takes_its_type() -> None:
    """A type given is what comes back; what does not fit is an error."""
    assert decode_response(b'{"id":"1","value":[2]}', User) == User("1")
    with pytest.raises(msgspec.DecodeError):
        decode_response(b'{"value":[{"id":7}]}', list[User])
    with pytest.raises(msgspec.DecodeError):
        decode_response(b"[]", User)


@pytest.mark.parametrize("kind", [None, Any, object])
def test_any_type_is_no_type(kind: Any) -> None:
    """Who says that any type will do gets what comes: a page, or a value."""
    assert decode_response(b'{"value":[{"id":"1"}]}', kind) == Page([{"id": "1"}])
    assert decode_response(b'{"id":"1"}', kind) == {"id": "1"}


@pytest.mark.parametrize(
    ("body", "kind", "remedy"),
    [
        (b'{"value":[{"id":"1"}],"@odata.nextLink":"n"}', User, "type=list[User]"),
        (b'{"value":[]}', User, "type=list[User]"),
        (b'{"id":"1"}', list[User], "type=User"),
        (b'{"value":[]}', Sequence[User], "type=list[User]"),
        (b'{"value":[]}', tuple[User, ...], "type=list[User]"),
    ],
)
def test_the_other_kind_of_response(body: bytes, kind: Any, remedy: str) -> None:
    """A collection where one object was asked for, and the reverse, name the spelling that fits."""
    with pytest.raises(WrongShapeError) as caught:
        decode_response(body, kind)

    assert remedy in caught.value.hint


@given(json_values)
def test_json_is_read_as_python_reads_it(value: Any) -> None:
    """Untyped answers are what the standard library would give."""
    assert decode_json(json.dumps(value).encode()) == value


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_nothing_else_escapes(body: bytes) -> None:
    """Whatever a server sends, only a DecodeError comes out; and any body gives some reason."""
    assert isinstance(read_error(body), ErrorBody)
    for kind in (None, User, list[User]):
        try:
            decode_response(body, kind)
        except msgspec.DecodeError:
            continue


def test_reasons() -> None:
    """The innermost code that is a word, the message and the request id are found in every service's shape."""
    graph = b'{"error":{"code":"A","message":"m","innerError":{"code":"B","request-id":"r","innererror":{"code":"C"}}}}'
    throttled = b'{"error":{"code":"TooManyRequests","message":"m","innerError":{"code":"429"}}}'

    assert read_error(graph) == ErrorBody(code="C", message="m", request_id="r")
    assert read_error(throttled) == ErrorBody(code="TooManyRequests", message="m")
    assert read_error(b'{"error":"invalid_grant","error_description":"d"}') == ErrorBody("invalid_grant", "d")
    assert read_error(b"<html>") == ErrorBody()
    assert read_error(b"") == ErrorBody()


def test_content_types() -> None:
    """JSON is recognised with parameters and suffixes."""
    assert is_json("application/json;odata.metadata=minimal")
    assert is_json("application/problem+json")
    assert not is_json("text/html")
    assert not is_json(None)
