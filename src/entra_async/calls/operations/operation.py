"""
Long-running operations: begin one, poll its status, wait for its result, resume it in another process.

A monitor on the service's own host is polled with the token. One on another host is polled without: it is a
pre-authenticated URL, and some respond with 401 to a token.

Source:
    https://learn.microsoft.com/en-us/onedrive/developer/rest-api/concepts/long-running-actions
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final, final

import anyio
import msgspec

from entra_async.calls.context import CallContext
from entra_async.calls.operations.resume_token import ResumeToken, is_own
from entra_async.calls.request import Request
from entra_async.errors import (
    APIStatusError,
    ConfigurationError,
    DecodeError,
    OperationFailedError,
    OperationTimeoutError,
)
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import first_words
from entra_async.rules.http.links import check_https_link, join_root
from entra_async.rules.http.retry import read_retry_after_s
from entra_async.rules.http.urls import strip_query
from entra_async.rules.operations import (
    OperationStatus,
    choose_polling,
    decide_poll_s,
    leads_nowhere,
    read_error_status,
    read_status,
)

__all__ = ("Operation", "begin_operation", "resume_operation")

_TIMEOUT_S: Final = 3600.0
_WRITES: Final = frozenset({"PUT", "PATCH"})
_ACCEPTED: Final = 202
_REDIRECTED: Final = 300
_NOTHING: Final = object()


@final
class Operation:
    """
    A long-running operation. ``await`` it for its result: ``machine = await operation``.

    Made by :meth:`entra_async.Connection.operation`. To stop waiting does not stop it: it goes on at the service.

    Attributes:
        status: The service's status, such as ``"InProgress"`` or ``"Succeeded"``.
        percent: Progress from 0 to 100, or ``None`` if the service does not say.
        done: Whether it has ended.
    """

    def __init__(self, context: CallContext, resume_token: ResumeToken | None, *, timeout_s: float | None) -> None:
        self.status = "Accepted"
        self.percent: float | None = None
        self.done = False
        self._context = context
        self._resume_token = resume_token
        self._timeout_s = timeout_s
        self._report: OperationStatus | None = None
        self._last: Any = None  # the value of the last response
        self._value: Any = _NOTHING
        self._polls = 0
        self._due_s = 0.0
        self._lock = anyio.Lock()

    def __repr__(self) -> str:
        return f"<Operation {self.status}>"

    @property
    def token(self) -> str | None:
        """
        A text that resumes it, here or in another process: ``graph.operation(token=…)``.

        ``None`` if the first response was the result already. It is no access token: the other process signs in for
        itself. It holds the URL to poll, which on some hosts is pre-authenticated.
        """
        return None if self._resume_token is None else self._resume_token.write()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.result().__await__()

    async def result(self, *, timeout: float = _TIMEOUT_S) -> Any:  # noqa: ASYNC109 - by the Session's own clock
        """
        Wait until it has ended, and return its result.

        That is the resource after PUT and PATCH, nothing after DELETE, else what the service links to or returns.

        Args:
            timeout: Seconds to wait in all.

        Raises:
            OperationFailedError: If it failed or was canceled.
            DecodeError: If the service does not tell how it can be polled.
            OperationTimeoutError: If it takes longer, or the next poll is due only later. It has the token to resume
                with.
            EntraError: Whatever :meth:`Connection.invoke` raises.
        """
        if not isinstance(timeout, int | float) or not timeout > 0:
            message = f"timeout is {timeout!r}."
            raise ConfigurationError(message, field="timeout", hint="Give a number of seconds greater than zero.")
        clock = self._context.clock
        end_s = clock.monotonic() + timeout
        while not self.done:
            now_s = clock.monotonic()
            if max(now_s, self._due_s) >= end_s:
                raise self._too_late(timeout)
            if self._due_s > now_s:
                await clock.sleep(self._due_s - now_s)
            async with self._lock:
                # Of several waiters, one polls.
                if not self.done and self._due_s <= clock.monotonic():
                    await self._poll()
        async with self._lock:
            if self._report is not None and self._report.failed:
                raise self._failure(self._report)
            if self._value is _NOTHING:
                self._value = await self._read_result()
        return self._value

    async def poll(self) -> bool:
        """
        Poll once, and return whether it has ended. If that is known already, nothing is sent.

        Raises:
            EntraError: Whatever :meth:`Connection.invoke` raises. The operation's own error :meth:`result` raises.
        """
        async with self._lock:
            if not self.done:
                await self._poll()
        return self.done

    def begin(self, response: Response, value: Any) -> None:
        """
        Set the status from the response to the request that began it.

        Args:
            response: The response.
            value: Its value.
        """
        if self._resume_token is None:
            self._value, self.done = value, True
            self.status = "Accepted" if response.status == _ACCEPTED else "Succeeded"
            return
        if self._resume_token.polling == "resource":
            self._update(response, value)
        self._schedule(response)

    async def _poll(self) -> None:
        assert self._resume_token is not None
        resume = self._resume_token
        try:
            response = await self._get(resume, resume.monitor, follow=resume.polling != "location")
        except APIStatusError as error:
            report = read_error_status(resume.polling, resume.method, error.status)
            if report is None:
                raise
            # Its message begins with the request, then has the service's message.
            reason = str(error.args[0]).partition(f" answered {error.status}: ")[2]
            self._set(replace(report, code=error.code, reason=reason.removeprefix(f"{error.code}: ")), None)
            return
        self._update(response, None if response.status >= _REDIRECTED else read_value(response))
        if leads_nowhere(resume.polling, response.status, response.headers, self._last):
            raise self._nothing_to_poll(response)
        self._schedule(response)

    def _update(self, response: Response, value: Any) -> None:
        assert self._resume_token is not None
        resume = self._resume_token
        report = read_status(resume.polling, response.status, response.headers, value)
        if report is None:
            message = f"{response.method} {response.url} has no status of the operation."
            raise DecodeError(message, method=response.method, url=response.url, attempts=response.attempts)
        # The service may name another URL to poll from now on: the newest counts.
        moved = None if report.done else choose_polling(resume.method, response.status, response.headers, None)
        if moved is not None and moved[0] == resume.polling and moved[1] is not None:
            self._resume_token = msgspec.structs.replace(
                resume, monitor=resolve(moved[1], source=resume.monitor, resume=resume)
            )
        self._set(report, value)

    def _set(self, report: OperationStatus, value: Any) -> None:
        self._last, self._report = value, report
        self.status, self.percent, self.done = report.status, report.percent, report.done

    def _schedule(self, response: Response) -> None:
        clock = self._context.clock
        wait_s = decide_poll_s(
            retry_after_s=read_retry_after_s(response.headers, now=clock.now()),
            polls=self._polls,
            chance=random.random(),  # noqa: S311 - spreads load
        )
        self._polls += 1
        self._due_s = clock.monotonic() + wait_s

    async def _read_result(self) -> Any:
        resume, report = self._resume_token, self._report
        if resume is None or report is None or resume.method == "DELETE":
            return None
        if resume.polling == "resource":
            return self._last
        if report.link is not None:
            link = resolve(report.link, source=resume.monitor, resume=resume)
            # A link to another host is for the reader of the status; a redirect is meant to be followed.
            if is_own(link, root=resume.root) or self._last is None:
                return read_value(await self._get(resume, link))
        if resume.method in _WRITES and (resume.polling == "status" or self._last is None):
            return read_value(await self._get(resume, resume.url))
        if resume.polling == "status" and resume.location is not None:
            return read_value(await self._get(resume, resume.location))
        return self._last

    async def _get(self, resume: ResumeToken, url: str, *, follow: bool = True) -> Response:
        if is_own(url, root=resume.root):
            prepared = PreparedRequest("GET", url, self._context.base_url.headers)
            return await self._context.pipeline.send(prepared, timeout_s=self._timeout_s, follow=follow)
        return await self._context.preauthenticated.get(url, timeout_s=self._timeout_s, follow=follow)

    def _failure(self, report: OperationStatus) -> OperationFailedError:
        assert self._resume_token is not None
        why = ": ".join(part for part in (report.code, report.reason) if part) or "no reason given"
        url = strip_query(self._resume_token.url)
        message = f"The operation that {self._resume_token.method} {url} began ended with {report.status!r}: {why}"
        error = OperationFailedError(message, method=self._resume_token.method, url=url, attempts=self._polls)
        error.status, error.code = report.status, report.code
        return error

    def _nothing_to_poll(self, response: Response) -> DecodeError:
        assert self._resume_token is not None
        method, url = self._resume_token.method, strip_query(self._resume_token.url)
        names = ", ".join(sorted({name.lower() for name in response.headers})) or "none"
        body = first_words(response.text) or "nothing"
        message = (
            f"The operation that {method} {url} began cannot be polled: there is no Location or Azure-AsyncOperation,"
            f" and {response.method} {response.url} answered 202 with {body!r} (headers: {names})."
        )
        hint = (
            "Read the resource with invoke() until it is as wanted; the service does not tell when the operation ends."
        )
        return DecodeError(message, method=response.method, url=response.url, attempts=response.attempts, hint=hint)

    def _too_late(self, timeout_s: float) -> OperationTimeoutError:
        assert self._resume_token is not None
        url = strip_query(self._resume_token.url)
        message = f"The operation that {self._resume_token.method} {url} began has not ended within {timeout_s:g} s."
        hint = "It goes on at the service: wait longer with result(timeout=…), or resume it with the error's token."
        error = OperationTimeoutError(
            message, method=self._resume_token.method, url=url, attempts=self._polls, hint=hint
        )
        error.token = self.token
        return error


async def begin_operation(context: CallContext, request: Request, prepared: PreparedRequest, *, root: str) -> Operation:
    """
    Send the request, and return the operation that it began, or that has ended already.

    Args:
        context: The connection.
        request: The call.
        prepared: What it sends.
        root: The service's root.

    Raises:
        EntraError: Whatever the pipeline raises; ``UnsafeLinkError`` if the monitor's URL is none.
    """
    response = await context.pipeline.send(prepared, timeout_s=request.timeout, idempotent=request.idempotent)
    value = read_value(response)
    chosen = choose_polling(prepared.method, response.status, response.headers, value)
    resume: ResumeToken | None = None
    if chosen is not None:
        polling, link = chosen
        resume = ResumeToken(root=root, method=prepared.method, url=prepared.url, polling=polling, monitor=prepared.url)
        location = response.headers.get("Location") if polling == "status" else None
        resume = msgspec.structs.replace(
            resume,
            monitor=resume.monitor if link is None else resolve(link, source=prepared.url, resume=resume),
            location=None if location is None else resolve(location, source=prepared.url, resume=resume),
        )
    operation = Operation(context, resume, timeout_s=request.timeout)
    operation.begin(response, value)
    return operation


async def resume_operation(context: CallContext, token: object, *, root: str, timeout_s: float | None) -> Operation:
    """
    Return the operation of a token, after polling it once.

    Args:
        context: The connection.
        token: :attr:`Operation.token`.
        root: The service's root.
        timeout_s: Seconds each request may take in all.

    Raises:
        ConfigurationError: If the token is invalid, or of another service. Nothing was sent.
        EntraError: Whatever the pipeline raises.
    """
    operation = Operation(context, ResumeToken.read(token, root=root), timeout_s=timeout_s)
    await operation.poll()
    return operation


def resolve(link: str, *, source: str, resume: ResumeToken) -> str:
    """
    Return the absolute URL of a link: on the service's host, or on another one that gets no token.

    Args:
        link: As the service wrote it.
        source: The URL of the request.
        resume: The operation's.

    Raises:
        UnsafeLinkError: If it is no https URL.
    """
    return check_https_link(join_root(link, root=resume.root), source=source)


def read_value(response: Response) -> Any:
    """
    Return the value of a response; ``None`` if it is empty, or no JSON beside 202.

    Raises:
        DecodeError: If it is no JSON.
    """
    if not response.body:
        return None
    try:
        return response.json()
    except DecodeError:
        if response.status == _ACCEPTED:
            return None
        raise
