"""Suggest a known name for an unknown one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ("closest", "did_you_mean")


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like *name*, or ``None`` if none is like it."""
    names = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """
    Return the hint for an unknown name.

    Args:
        name: What was given.
        known: What could have been given.
        otherwise: The hint if none of them is like it.
    """
    found = closest(name, known)
    return otherwise if found is None else f"Did you mean {found!r}?"
