"""
Read the changes of a delta query. Pure.

Sources:
    https://learn.microsoft.com/en-us/graph/delta-query-overview
    https://learn.microsoft.com/en-us/graph/api/driveitem-delta (the deleted facet)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ("Change", "is_delta", "read_change")

_DELTA: Final = re.compile(r"(?:.*/)?(?:microsoft\.graph\.)?delta(?:\([^/]*\))?/?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """
    An object that was created, updated or removed.

    Attributes:
        id: The object's id.
        item: The object, annotations included: all selected properties, or with ``minimal=True`` those that changed. Of
            an object that was removed it holds the id and little else.
        removed: Why it was removed: ``"deleted"`` for good; ``"changed"`` if it can be restored, or no longer matches
            the query; another reason if the service has one. ``None`` if it exists.
        derived: ``True`` if the service did not say that it was removed: it was known, and missing after a full
            synchronization.
    """

    id: str
    item: Mapping[str, Any]
    removed: str | None = None
    derived: bool = False


def is_delta(path: str) -> bool:
    """Return whether a path ends in a delta function, such as ``users/delta`` or ``root/delta(token='latest')``."""
    return _DELTA.fullmatch(path.partition("?")[0]) is not None


def read_change(item: object, key: str) -> Change | None:
    """
    Return the change that an item of a delta query stands for, or ``None`` if it has no id.

    Args:
        item: The item.
        key: The property that holds its id.
    """
    name = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(name, str) or not name:
        return None
    annotation = item.get("@removed")
    if isinstance(annotation, Mapping):
        reason = annotation.get("reason")
        return Change(name, item, removed=reason if isinstance(reason, str) and reason else "deleted")
    deleted = isinstance(item.get("deleted"), Mapping)
    return Change(name, item, removed="deleted" if deleted else None)
