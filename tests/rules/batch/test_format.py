"""Encoding a batch, and reading its response."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.batch.format import (
    MISSING,
    ItemResponse,
    encode_batch,
    encode_item,
    read_responses,
    relative_url,
)

NUMBERS = ["1", "2", "3"]
TEXT = {"Content-Type": "text/plain"}
PICTURE = {"Content-Type": "image/png"}


def encode_response(*responses: Any) -> bytes:
    return json.dumps({"responses": responses}).encode()


def read_one(**item: Any) -> ItemResponse | str:
    return read_responses(encode_response({"id": "1", "status": 200, **item}), ["1"])["1"]


@given(
    st.lists(st.tuples(st.text(max_size=9), st.dictionaries(st.text(max_size=5), st.text(max_size=5))), max_size=20),
    st.randoms(use_true_random=False),
)
def test_round_trip(items: list[tuple[str, dict[str, str]]], chance: Any) -> None:
    """A batch is JSON that holds each item as it is, and responses in any order are matched by id."""
    numbers = [str(number) for number in range(len(items))]
    encoded = [
        encode_item(number, "POST", f"/{url}", {"Content-Type": "application/json"}, json.dumps(body).encode())
        for number, (url, body) in zip(numbers, items, strict=True)
    ]
    requests = json.loads(encode_batch(encoded))["requests"]
    assert [(each["id"], each["url"][1:], each["body"]) for each in requests] == [
        (number, url, body) for number, (url, body) in zip(numbers, items, strict=True)
    ]
    chance.shuffle(requests)
    results = read_responses(
        encode_response(*({"id": each["id"], "status": 200, "body": each["body"]} for each in requests)), numbers
    )
    assert list(results) == numbers
    for number, (_, body) in zip(numbers, items, strict=True):
        found = results[number]
        assert isinstance(found, ItemResponse)
        assert json.loads(found.body) == body


@given(
    st.binary(max_size=200) | st.builds(encode_response, st.recursive(st.none() | st.integers() | st.text(), st.lists))
)
def test_nothing_escapes(body: bytes) -> None:
    """Whatever comes, each item has an entry and nothing is raised."""
    results = read_responses(body, NUMBERS)
    assert list(results) == NUMBERS
    assert all(isinstance(each, str) for each in results.values())


item_parts = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([*NUMBERS, 1, None]),
        "status": st.sampled_from([200, "200", " 200 ", 1e3, "x" * 99, None, True]),
        "headers": st.sampled_from([{}, None, [], {"Content-Type": "image/png"}, {"content-type": "text/x"}, TEXT]),
        "body": st.none() | st.text() | st.floats() | st.lists(st.integers()) | st.just({"a": float("nan")}),
    },
)


@given(st.lists(item_parts | st.none() | st.text(max_size=3), max_size=4))
def test_no_item_escapes(items: list[Any]) -> None:
    """Whatever an item holds, what is read has a valid status and bytes."""
    for found in read_responses(encode_response(*items), NUMBERS).values():
        if isinstance(found, ItemResponse):
            assert 100 <= found.status <= 599
            assert isinstance(found.body, bytes)


@given(st.lists(st.sampled_from(["1", "2", "3", "4", 1, 2, 7]), max_size=8))
def test_each_item_has_one_response_or_the_reason(ids: list[str | int]) -> None:
    """A response that is missing, doubled or of an unknown id affects no other."""
    results = read_responses(encode_response(*({"id": each, "status": 204} for each in ids)), NUMBERS)
    for number in NUMBERS:
        times = sum(str(each) == number for each in ids)
        found = results[number]
        assert isinstance(found, ItemResponse) == (times == 1)
        if times != 1:
            assert found == ("it has two responses to this request" if times else "it has no response to this request")


@given(st.binary(max_size=40))
def test_bytes_come_back(content: bytes) -> None:
    """A picture goes and comes as base64, in the alphabet of URLs or the usual one, padded or not."""
    item = json.loads(encode_item("1", "PUT", "/photo", PICTURE, content))
    assert base64.urlsafe_b64decode(item["body"]) == content
    for text in (item["body"], base64.b64encode(content).decode(), item["body"].rstrip("=")):
        found = read_one(headers=PICTURE, body=text)
        assert isinstance(found, ItemResponse)
        assert found.body == content


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ({"headers": TEXT, "body": "MjUw"}, b"250"),
        ({"headers": TEXT, "body": "1234"}, b"1234"),  # valid base64, but of no text
        ({"headers": TEXT, "body": "two words"}, b"two words"),
        ({"headers": TEXT, "body": 250}, b"250"),
        ({"headers": {"content-type": "application/json"}, "body": "MjUw"}, b'"MjUw"'),
        ({"headers": {"x-number": 7}, "body": {"a": 1}}, b'{"a": 1}'),
        ({"headers": None, "body": None}, b""),
        ({}, b""),
    ],
)
def test_bodies(item: dict[str, Any], body: bytes) -> None:
    """The body is what would have come had the item been sent alone."""
    found = read_one(**item)
    assert isinstance(found, ItemResponse)
    assert found.body == body


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ({"headers": PICTURE, "body": [137, 80, 78, 71]}, b"\x89PNG"),
        ({"headers": PICTURE, "body": [300]}, b"[300]"),
        ({"headers": PICTURE, "body": "iVBO\r\nRw=="}, b"\x89PNG"),
        ({"headers": {"content-type": "application/json"}, "body": "eyJhIjogMX0="}, b'{"a": 1}'),
        ({"headers": TEXT, "body": "half \ud83d"}, "half \ufffd".encode()),
        ({"status": "200", "body": {"a": 1}}, b'{"a": 1}'),
    ],
    ids=str,
)
def test_bodies_in_other_forms(item: dict[str, Any], body: bytes) -> None:
    """Bytes as base64 with line breaks or as numbers, JSON as base64, a status as text: what was meant."""
    found = read_one(**item)
    assert isinstance(found, ItemResponse)
    assert (found.status, found.body) == (200, body)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_fault_is_its_own_item_s(mark: bytes) -> None:
    """A NaN in one item's body is in that item's body, and its neighbours are read."""
    body = b'{"responses":[{"id":"1","status":200,"body":{"a":NaN}},{"id":"2","status":"204"},7]}'
    found = read_responses(mark + body, NUMBERS)
    assert found["1"] == ItemResponse(200, {}, b'{"a": NaN}')
    assert (found["2"], found["3"]) == (ItemResponse(204, {}, b""), MISSING)


@pytest.mark.parametrize("status", [0, 99, 600, -1])
def test_a_status_that_is_none(status: int) -> None:
    """A number that is no HTTP status is no response."""
    assert read_one(status=status) == f"its response to this request has the status {status}"


@pytest.mark.parametrize(
    ("url", "relative"),
    [
        ("https://g/v1.0/users?$top=1", "/users?$top=1"),
        ("https://g/v1.0", None),
        ("https://g/v1.01/users", None),
        ("https://g/beta/users", None),
        ("https://h/v1.0/users", None),
    ],
)
def test_relative_urls(url: str, relative: str | None) -> None:
    """Only what is below the service's version can be written in its batch."""
    assert relative_url(url, "https://g/v1.0") == relative
