"""
A watch on secrets through the whole suite: logs at DEBUG, events, and every error that a test sees: its chain, its
pickle, its traceback with locals.

What a secret looks like is known, since the emulator makes them as Entra ID does: tokens are JWTs, refresh tokens
begin with ``1.``, and client secrets have ``8Q~`` in them. Frames of tests do not count: they know their secrets. Nor
does what their own functions raise.
"""

from __future__ import annotations

import logging
import pickle
import re
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

from entra_async.errors import EntraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ("Watch", "everything_about")

SECRET: Final = re.compile(
    r"eyJ[\w-]{10,}\.eyJ[\w-]{20,}\.[\w-]{20,}"  # an access or id token, or an assertion: RFC 7519
    r"|\b1\.[\w-]{100,}"  # a refresh token or an authorization code
    r"|[\w.~-]{3}8Q~[\w.~-]{30,}"  # a client secret
    r"|canary[\w-]*5ecret[\w-]*"  # what a test has marked itself
)
_JUDGED: Final = ("entra_async", "msal", "azure", "aiohttp")
_OTHERS: Final = ("aiohttp", "asyncio", "faker", "hypothesis")  # the emulator's own server, and tools


def module_of(frame: Any) -> str:
    """Return the name of the module whose code a frame runs."""
    return str(frame.f_globals.get("__name__", ""))


def frames_of(traceback: TracebackType | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and locals of each frame of the package and its engines; the emulator's are not judged."""
    for frame, _ in walk_tb(traceback):
        name = module_of(frame)
        if name.startswith(_JUDGED) and not name.startswith("entra_async.testing"):
            yield f"{name}:{frame.f_code.co_name}", frame.f_locals


def is_of_a_test(error: BaseException) -> bool:
    """Return whether a function of a test's own raised it."""
    last = [module_of(frame) for frame, _ in walk_tb(error.__traceback__)][-1:]
    return not isinstance(error, EntraError) and bool(last) and last[0].startswith("tests")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [inner for inner in (link.__cause__, link.__context__) if inner is not None]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions


def show(value: object) -> str:
    """Return a value's repr, as a debugger or an error tracker would."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's object
        return f"<{type(error).__name__}>"


def everything_about(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield place and text of whatever an error tracker would show of an error."""
    for link in chain_of(error):
        if not is_of_a_test(link):
            yield type(link).__name__, f"{link!r} {link} {link.args!r} {vars(link)!r}"
        if isinstance(link, EntraError):
            yield f"pickle of {type(link).__name__}", repr(pickle.dumps(link))
        for place, names in frames_of(link.__traceback__):
            for name, value in names.items():
                yield f"{place}: {name}", show(value)


class Watch(logging.Handler):
    """Scans every log record of the package and its engines, every event, and every error that is handed in."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_OTHERS):
            return
        self.look(f"log of {record.name}", f"{record.getMessage()} {record.args!r} {record.exc_text or ''}")
        if record.exc_info and record.exc_info[1] is not None:
            self.judge(record.exc_info[1])

    def on_event(self, event: object) -> None:
        """Look for secrets in an event."""
        self.look(f"event {type(event).__name__}", f"{event!r} {pickle.dumps(event)!r}")

    def judge(self, error: BaseException) -> None:
        """Look for secrets in all that an error shows."""
        for place, text in everything_about(error):
            self.look(place, text)

    def look(self, place: str, text: str) -> None:
        """Look for a secret in a text."""
        found = SECRET.search(text)
        if found is not None:
            start = max(0, found.start() - 40)
            self.leaks.setdefault(place, text[start : found.start() + 20])
