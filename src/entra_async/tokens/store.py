"""Where tokens outlive a process, and where processes meet so that only one of them asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, final

__all__ = ("MemoryStore", "TokenStore")


class TokenStore(Protocol):
    """
    Keeps values under names, and lends leases. Names and values are secrets.

    A Session goes on without its store whenever that fails or is slow; what it raises, a listener hears of. It is used
    from one event loop at a time, by many tasks at once.
    """

    async def read(self, name: str) -> bytes | None:
        """Return the value kept under *name*, or ``None``."""
        ...

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """
        Keep *value* under *name*, in place of what was there.

        Args:
            name: Any text.
            value: Any bytes.
            expires_on: Seconds since the epoch after which it is worthless and may be thrown away.
        """
        ...

    async def delete(self, name: str) -> None:
        """Throw away what is kept under *name*, if anything."""
        ...

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """
        Take the lease of *name*, or keep it for longer.

        Args:
            name: Any text; leases and values do not meet.
            holder: Who takes it; unique.
            seconds: After that it ends by itself, so that a holder that was killed holds up nobody for longer.

        Returns:
            ``False`` if somebody else holds it.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """Give the lease back, if *holder* has it."""
        ...

    async def aclose(self) -> None:
        """Close what is open. What is kept stays, and the store opens itself again when it is used again."""
        ...


@final
class MemoryStore:
    """
    Keeps values in a dict: for several Sessions of one process, one after the other or at once.

    Args:
        now: Gives the time, in seconds since the epoch.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._values: dict[str, tuple[bytes, float]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore with {len(self._values)} values>"

    async def read(self, name: str) -> bytes | None:
        """Return the value kept under *name*; see :class:`TokenStore`."""
        value, expires_on = self._values.get(name, (None, 0.0))
        if value is not None and self._now() >= expires_on:
            del self._values[name]
            return None
        return value

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """Keep *value* under *name*; see :class:`TokenStore`."""
        self._values[name] = value, expires_on

    async def delete(self, name: str) -> None:
        """Throw away what is kept under *name*."""
        self._values.pop(name, None)

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Take or keep a lease; see :class:`TokenStore`."""
        whose, until = self._leases.get(name, (holder, 0.0))
        if whose != holder and self._now() < until:
            return False
        self._leases[name] = holder, self._now() + seconds
        return True

    async def release(self, name: str, holder: str) -> None:
        """Give a lease back."""
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    async def aclose(self) -> None:
        """Keep everything: it lives as long as the object."""
