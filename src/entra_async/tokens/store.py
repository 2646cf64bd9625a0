"""Token stores: they persist tokens, and let one process at a time request a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, final

__all__ = ("MemoryStore", "TokenStore")


class TokenStore(Protocol):
    """
    Stores values by name, and grants leases. Names and values are secrets.

    A Session goes on without its store whenever that fails or is slow; its errors go to the listener. It is used from
    one event loop at a time, by many tasks at once.
    """

    async def read(self, name: str) -> bytes | None:
        """Return the value of *name*, or ``None``."""
        ...

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """
        Store *value* under *name*, in place of what was there.

        Args:
            name: Any text.
            value: Any bytes.
            expires_on: Seconds since the epoch after which it is worthless and may be deleted.
        """
        ...

    async def delete(self, name: str) -> None:
        """Delete the value of *name*, if there is one."""
        ...

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """
        Acquire the lease of *name*, or renew it.

        Args:
            name: Any text; leases and values have separate names.
            holder: The lease holder's id; unique.
            seconds: After that it expires, so that a holder that was killed delays nobody for longer.

        Returns:
            ``False`` if another holder has it.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """Release the lease, if *holder* has it."""
        ...

    async def aclose(self) -> None:
        """Close what is open. Values stay, and the store opens itself again when it is used again."""
        ...


@final
class MemoryStore:
    """
    A token store in memory: for several Sessions of one process, one after the other or at once.

    Args:
        now: Returns the time, in seconds since the epoch.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._values: dict[str, tuple[bytes, float]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore with {len(self._values)} values>"

    async def read(self, name: str) -> bytes | None:
        """Return the value of *name*; see :class:`TokenStore`."""
        value, expires_on = self._values.get(name, (None, 0.0))
        if value is not None and self._now() >= expires_on:
            del self._values[name]
            return None
        return value

    async def write(self, name: str, value: bytes, *, expires_on: float) -> None:
        """Store *value* under *name*; see :class:`TokenStore`."""
        self._values[name] = value, expires_on

    async def delete(self, name: str) -> None:
        """Delete the value of *name*."""
        self._values.pop(name, None)

    async def lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Acquire or renew a lease; see :class:`TokenStore`."""
        current, until = self._leases.get(name, (holder, 0.0))
        if current != holder and self._now() < until:
            return False
        self._leases[name] = holder, self._now() + seconds
        return True

    async def release(self, name: str, holder: str) -> None:
        """Release a lease."""
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    async def aclose(self) -> None:
        """Do nothing: the values live as long as the object."""
