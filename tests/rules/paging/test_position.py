"""Positions of streams: they come back as they were, and nothing else passes for one."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.paging.position import Position, fingerprint, pack, unpack

QUERY = fingerprint("https://graph.microsoft.com/v1.0/users")


@given(st.text(), st.integers(0, 10**9), st.text(), st.booleans())
def test_comes_back_as_it_was(link: str, done: int, last: str, ended: bool) -> None:
    """A position survives its text, which is one word."""
    position = Position(QUERY, link, done, last, ended)
    text = pack(position)
    assert unpack(text, query=QUERY) == position
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in text)


@given(st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.lists(st.integers())))
@example("W10")
@example("=")
def test_nothing_else_passes(text: object) -> None:
    """Whatever is no position is refused by name, before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        unpack(text, query=QUERY)
    assert caught.value.field == "start"


@given(st.data())
def test_a_damaged_one_is_refused_or_of_another_query(data: st.DataObject) -> None:
    """Cut anywhere, or with a byte changed, it is refused, or is a position still: never another kind of error."""
    text = pack(Position(QUERY, "https://graph.microsoft.com/v1.0/users?$skiptoken=abc", 3, fingerprint("x")))
    cut = data.draw(st.integers(0, len(text) - 1))
    for broken in (text[:cut], text[:cut] + "~" + text[cut + 1 :], text[:cut] + "A" + text[cut + 1 :]):
        with suppress(ConfigurationError):
            unpack(broken, query=QUERY)


def test_of_another_query() -> None:
    """It belongs to one query."""
    with pytest.raises(ConfigurationError, match="another query"):
        unpack(pack(Position(QUERY)), query=fingerprint("https://graph.microsoft.com/v1.0/groups"))


@pytest.mark.parametrize("changes", [{5: 2}, {2: -1}])
def test_of_another_version(changes: dict[int, int]) -> None:
    """What a later version means by it is not guessed at."""
    fields = [QUERY, "", 0, "", False, 1]
    for index, value in changes.items():
        fields[index] = value
    text = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    with pytest.raises(ConfigurationError, match="another version"):
        unpack(text, query=QUERY)
