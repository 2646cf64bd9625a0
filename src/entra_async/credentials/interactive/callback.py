"""
Callbacks: a coroutine function is awaited, any other callable runs in a thread.

None can block the event loop, wait without end, or raise what is not an error of this package.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

import anyio
from anyio import CapacityLimiter, to_thread

from entra_async.certificates.abandon import run_abandonable
from entra_async.errors import AuthenticationError, CredentialUnavailableError, EntraError
from entra_async.rules.sign_in.aadsts import error_for
from entra_async.rules.sign_in.quoting import quote

__all__ = ("call",)

# A client secret of Entra ID has 40 characters, and no word of a message has.
_SECRET: Final = re.compile(r"[\w.~+/=-]{40,}")


async def call(
    function: Callable[..., Any],
    *arguments: object,
    what: str,
    within_s: float,
    threads: CapacityLimiter | None = None,
    **keywords: object,
) -> Any:
    """
    Call *function* and return its result; an awaitable is awaited.

    A function that is no coroutine function runs in a daemon thread. When the caller is cancelled or time is over, it
    is abandoned: its thread goes on until it returns, since nothing can stop it.

    Args:
        function: What to call.
        arguments: Passed on.
        what: What an error calls it, such as ``"The callable of assertion"``.
        within_s: Seconds it may take.
        threads: How many threads may run at once; by default as many as anyio's own.
        keywords: Passed on.

    Raises:
        AuthenticationError: If it fails or takes too long; :class:`CredentialUnavailableError` if it failed with an
            error of that name, as azure-identity's do. What it raised is the cause.
        EntraError: Whatever it raises of this kind.
    """
    with anyio.move_on_after(within_s) as scope:
        try:
            if _is_coroutine_function(function):
                return await function(*arguments, **keywords)
            async with threads or to_thread.current_default_thread_limiter():
                result = await run_abandonable(lambda: function(*arguments, **keywords))
            return await result if inspect.isawaitable(result) else result
        except EntraError:
            raise
        except Exception as error:
            raise _translate(error, what) from error
    assert scope.cancelled_caught  # else it has returned or raised
    message = f"{what} gave no answer within {within_s:g} s."
    raise AuthenticationError(message, hint="Find out what it waits for, or give it a time limit of its own.")


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    called = type(function).__call__ if not inspect.isroutine(function) else function
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _translate(error: Exception, what: str) -> AuthenticationError:
    if "AADSTS" in str(error):
        return error_for(status=None, body={"error_description": str(error)})
    said = _SECRET.sub("…", quote(str(error)))
    message = f"{what} failed with {type(error).__name__}{f': {said}' if said else ''}"
    absent = any(cls.__name__ == "CredentialUnavailableError" for cls in type(error).__mro__)
    kind = CredentialUnavailableError if absent else AuthenticationError
    return kind(message if message.endswith((".", "!", "?")) else f"{message}.", hint="See the cause of this error.")
