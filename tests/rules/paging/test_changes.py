"""What a delta query tells: there, changed, or gone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.paging.changes import Change, is_delta, read_change


@pytest.mark.parametrize(
    ("item", "removed"),
    [
        ({"id": "1", "displayName": "Ada"}, None),
        ({"id": "1", "@removed": {"reason": "changed"}}, "changed"),
        ({"id": "1", "@removed": {"reason": "deleted"}}, "deleted"),
        ({"id": "1", "@removed": {"reason": "moved"}}, "moved"),
        ({"id": "1", "@removed": {}}, "deleted"),
        ({"id": "1", "@removed": {"reason": 5}}, "deleted"),
        ({"id": "1", "@removed": None}, None),
        ({"id": "1", "deleted": {"state": "softDeleted"}}, "deleted"),
        ({"id": "1", "deleted": False}, None),
    ],
)
def test_removed(item: dict[str, Any], removed: str | None) -> None:
    """Graph annotates a removed object, OneDrive has a facet; the item stays as it was sent."""
    assert read_change(item, "id") == Change("1", item, removed)


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_total(item: object) -> None:
    """Whatever JSON holds is a change with an id, or none."""
    change = read_change(item, "id")
    assert change is None or (change.id and change.item is item)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("users/delta", True),
        ("/users/delta/", True),
        ("users/delta?$select=id", True),
        ("users/microsoft.graph.delta()", True),
        ("drives/b!x/root/delta(token='latest')", True),
        ("https://graph.microsoft.com/v1.0/groups/delta", True),
        ("users/Delta", True),
        ("users", False),
        ("users/delta/1", False),
        ("users/epsilondelta", False),
        ("users?x=/delta", False),
        ("", False),
    ],
)
def test_paths(path: str, expected: bool) -> None:
    """The function is the last segment, by its short or full name."""
    assert is_delta(path) is expected
