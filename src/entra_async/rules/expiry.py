"""How long a token is handed out. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ("usable_until",)

# azure-core and MSAL ask for a new token with this much left; clocks may differ by as much.
MARGIN_S: Final = 300.0


def usable_until(*, expires_on: float, now: float) -> float:
    """
    Return the time, in seconds since the epoch, until which a token received *now* is handed out.

    Five minutes before it expires, so that it is still good when the service reads it. A token that lives
    shorter than twice that is handed out for half its life, else each call would ask for another.
    """
    return expires_on - min(MARGIN_S, max(0.0, expires_on - now) / 2)
