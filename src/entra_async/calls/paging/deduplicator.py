"""The deduplicator: no item of a collection is yielded twice."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection
from operator import attrgetter, itemgetter
from struct import pack
from typing import Any, Final, final

import anyio.lowlevel
import msgspec

__all__ = ("Deduplicator",)

_SLICE: Final = 20_000  # hashes sorted in between two turns of the event loop: some milliseconds
_VALUELESS: Final = (None, "", msgspec.UNSET)
_NOTHING: Final = frozenset(map(hash, _VALUELESS))
_ABSENT: Final = _NOTHING - {hash("")}
_HASH: Final = 8  # bytes
_EMPTY: Final = pack("q", hash(""))
_BUCKETS: Final = 256  # a power of two; sorted apart, so that no piece of it takes long


@final
class Deduplicator:
    """
    Knows items by 64 bits of a hash of their key: 8 bytes each.

    Two of a million items are taken for the same with a chance of 1 in 37 million.

    Args:
        key: The property or attribute that identifies an item.
        log: ``False`` if the query can never be restarted.
        contents: Whether pages whose items have no key are compared as a whole.

    Attributes:
        complete: Whether every item so far had a key.
        repeated: Whether the last page was, item by item, the one before it.
    """

    def __init__(self, key: str, *, log: bool, contents: bool) -> None:
        self._of_dict = itemgetter(key)
        self._of_object = attrgetter(key)
        self._log: array[int] | None = array("q") if log else None
        self._contents = contents
        self._previous = b""  # the hashes of the page before
        self._yielded: list[array[int]] = []
        self._count = 0
        self.complete = True
        self.repeated = False

    @property
    def count(self) -> int:
        """How many items it knows."""
        return self._count + len(self._log or ())

    def deduplicate(self, items: list[Any]) -> list[Any]:
        """
        Return the items of a page that are new.

        What the page before held is left out if the page begins with some of it, as it does when the service sends a
        page again, or when something new has moved all others down. After a restart, what was yielded before it is left
        out anywhere.
        """
        if not items:
            return items
        find = self._of_dict if isinstance(items[0], dict) else self._of_object
        try:
            page = pack(f"{len(items)}q", *map(hash, map(find, items)))
        except (KeyError, AttributeError, TypeError):
            return self._keyless(items)
        if self._contents and _has_valueless(items, array("q", page), find):
            return self._keyless(items)
        previous, self._previous = self._previous, page
        self.repeated = False
        # The number 0 is a key and has the same hash as "", which is none.
        if _holds(page, _EMPTY) and any(find(item) == "" for item in items):
            self.complete = False
        if self._yielded or _holds(previous, page[:_HASH]):
            items, page = self._compare(items, page, previous, find)
        if self._log is not None:
            self._log.frombytes(page)
        return items

    def _compare(
        self, items: list[Any], page: bytes, previous: bytes, find: Callable[[Any], Any]
    ) -> tuple[list[Any], bytes]:
        hashes, before = array("q", page), array("q", previous)
        overlaps = hashes[0] in before
        if overlaps and (
            len({*hashes}) < len(hashes) or len({*before}) < len(before) or _has_valueless(items, hashes, find)
        ):
            self.complete, overlaps = False, False  # a key that several items of a page have identifies none
        self.repeated = overlaps and page == previous
        old: Collection[int] = set(before) if overlaps else ()
        new = [
            (item, key)
            for item, key in zip(items, hashes, strict=True)
            if key not in old and not self._was_yielded(key)
        ]
        return [item for item, _ in new], array("q", [key for _, key in new]).tobytes()

    def _keyless(self, items: list[Any]) -> list[Any]:
        self.complete = False
        page = pack("q", hash(msgspec.json.encode(items))) if self._contents else b""
        self.repeated, self._previous = bool(page) and page == self._previous, page
        return items

    async def restart(self) -> bool:
        """
        Leave out, from now on, everything yielded so far: the query is restarted.

        Returns:
            ``False`` if that is impossible, since some items had no key.
        """
        log = self._log
        # A key without a value identifies nothing. Looked for only now: it costs as much as everything else here.
        if log is None or not self.complete or not _ABSENT.isdisjoint(log):
            return False
        buckets = self._yielded or [array("q") for _ in range(_BUCKETS)]
        for start in range(0, len(log), _SLICE):
            for key in log[start : start + _SLICE]:
                buckets[key % _BUCKETS].append(key)
            await anyio.lowlevel.checkpoint()
        self._count += len(log)
        self._yielded, self._log, self._previous = [], array("q"), b""
        for bucket in buckets:
            self._yielded.append(array("q", sorted(bucket)))
            await anyio.lowlevel.checkpoint()
        return True

    def _was_yielded(self, key: int) -> bool:
        if not self._yielded:
            return False
        bucket = self._yielded[key % _BUCKETS]
        at = bisect_left(bucket, key)
        return at < len(bucket) and bucket[at] == key


def _holds(page: bytes, key: bytes) -> bool:
    at = page.find(key)
    while at % _HASH and at >= 0:
        at = page.find(key, at + 1)
    return at >= 0


def _has_valueless(items: list[Any], page: array[int], find: Callable[[Any], Any]) -> bool:
    # Other keys may have the same hash, such as 0.
    return not _NOTHING.isdisjoint(page) and any(find(item) in _VALUELESS for item in items)
