"""What may travel in a batch, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async import Request
from entra_async.errors import ConfigurationError
from entra_async.rules.batch.arrangement import MAX_BYTES, check_item, is_plain_read, order_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON = {"Content-Type": "application/json"}


def named(*dependencies: Sequence[int]) -> list[Request]:
    """Return a request for each argument, whose id is its index, and which depends on those at the indexes given."""
    return [
        Request("users", id=f"r{i}", depends_on=tuple(f"R{n}" for n in each)) for i, each in enumerate(dependencies)
    ]


@st.composite
def acyclic(draw: st.DrawFn) -> list[Request]:
    """Return requests without a cycle, in any order."""
    count = draw(st.integers(0, 30))
    dependencies = [
        draw(st.lists(st.integers(0, place - 1), max_size=3) if place else st.just([])) for place in range(count)
    ]
    moved = draw(st.permutations(range(count)))
    back = {old: new for new, old in enumerate(moved)}
    return named(*([back[need] for need in dependencies[old]] for old in moved))


@given(acyclic())
def test_every_request_once_and_after_its_dependencies(requests: list[Request]) -> None:
    """The order holds every index once, and none before one it depends on; dependencies are named by index."""
    order = order_requests(requests)
    where = {index: number for number, index in enumerate(order.sequence)}
    assert sorted(order.sequence) == list(range(len(requests)))
    for index, request in enumerate(requests):
        assert [f"R{each}" for each in order.dependencies.get(index, ())] == list(request.depends_on)
        assert all(where[each] < where[index] for each in order.dependencies.get(index, ()))


@given(acyclic())
def test_requests_without_dependencies_come_first(requests: list[Request]) -> None:
    """Requests without dependencies begin first, in the order given, so that a long chain delays no other."""
    free = [index for index, request in enumerate(requests) if not request.depends_on]
    assert order_requests(requests).sequence[: len(free)] == free


@given(acyclic().filter(lambda requests: any(request.depends_on for request in requests)), st.data())
def test_a_cycle_is_an_error(requests: list[Request], data: st.DataObject) -> None:
    """A cycle is an error, whose message shows it."""
    order = order_requests(requests)
    last = data.draw(st.sampled_from(sorted(order.dependencies)))
    first = order.dependencies[last][0]
    requests[first] = Request("users", id=f"r{first}", depends_on=(*requests[first].depends_on, f"r{last}"))
    with pytest.raises(ConfigurationError, match="depend on each other: '") as caught:
        order_requests(requests)
    assert caught.value.field == "depends_on"


@pytest.mark.parametrize(
    ("requests", "field", "message"),
    [
        (named([0]), "depends_on", "'r0' → 'r0'"),
        ([Request("a", id="x"), Request("b", id="X")], "id", "Two requests of the batch have the id 'X'"),
        ([Request("a", depends_on=("y",))], "depends_on", "'y'"),
        ([Request("a", id="")], "id", "''"),
        ([Request("a", id=1)], "id", "is 1"),  # type: ignore[arg-type]
        ([Request("a", id="b"), Request("a", depends_on="b")], "depends_on", "'b'"),  # type: ignore[arg-type]
        ([Request("a", depends_on=(1,))], "depends_on", "1"),  # type: ignore[arg-type]
    ],
)
def test_invalid_dependencies(requests: list[Request], field: str, message: str) -> None:
    """Ids that are not unique or do not exist are an error that names the field."""
    with pytest.raises(ConfigurationError) as caught:
        order_requests(requests)
    assert message in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "field"),
    [
        ("HEAD", "https://g/v1.0/users", {}, None, "method"),
        ("GET", "https://g/v1.0/users", JSON, b"{}", "method"),
        ("DELETE", "https://g/v1.0/users", JSON, b"{}", "method"),
        ("POST", "https://g/v1.0/$batch?x=1", JSON, b"{}", "path"),
        ("POST", "https://g/v1.0/users", JSON, b"[1]", "body"),
        ("POST", "https://g/v1.0/users", JSON, b"{", "body"),
        ("POST", "https://g/v1.0/users", {"content-type": "text/json; x=y"}, b'"\xff"', "body"),
        ("PUT", "https://g/v1.0/p", {"Content-Type": "image/png"}, b"x" * (MAX_BYTES * 3 // 4), "body"),
    ],
)
def test_requests_that_no_batch_can_hold(
    method: str, url: str, headers: dict[str, str], body: bytes | None, field: str
) -> None:
    """A request for which the service would refuse the whole batch is an error before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        check_item(method, url, headers, body)
    assert caught.value.field == field


def test_requests_that_a_batch_can_hold() -> None:
    """Reads, writes with a JSON object, and bodies of other kinds."""
    check_item("GET", "https://g/v1.0/users", {}, None)
    check_item("PATCH", "https://g/v1.0/users/1", JSON, b'{"a": [1]}')
    check_item("PUT", "https://g/v1.0/me/photo/$value", {"Content-Type": "image/png"}, b"\xff\xd8")


@pytest.mark.parametrize(
    ("method", "url", "body", "plain"),
    [
        ("GET", "https://g/v1.0/users?$filter=a eq '/$value'", None, True),
        ("GET", "https://g/v1.0/me/photo/$value", None, False),
        ("GET", "https://g/v1.0/drive/items/1/content?x=1", None, False),
        ("GET", "https://g/v1.0/users", b"{}", False),
        ("DELETE", "https://g/v1.0/users/1", None, False),
    ],
)
def test_plain_reads(method: str, url: str, body: bytes | None, *, plain: bool) -> None:
    """Files and writes are not batched automatically."""
    assert is_plain_read(method, url, body) is plain
