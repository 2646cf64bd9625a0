"""Faults a test plants in the emulator: which requests go wrong, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.requests import RecordedRequest

__all__ = ("Fault", "Faults")


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """
    One planted fault; :meth:`Faults.add` says what the fields mean.

    Attributes:
        hits: How many requests it has struck so far.
    """

    path: str
    service: str | None
    method: str | None
    times: int | None
    after: int
    status: int | None
    body: str | bytes | Mapping[str, Any] | None
    headers: Mapping[str, str]
    throttle: float | str | None
    html: bool
    empty: bool
    half_body: bool
    cut_request_after: int | None
    cut_answer_after: int | None
    reset: Literal["before", "after"] | None
    delay_s: float
    hits: int = 0
    _passed: int = field(default=0, init=False)

    @property
    def cuts(self) -> bool:
        """Whether it ends the connection. Such a fault strikes a batch, never one item of it."""
        return self.half_body or self.reset is not None

    def strikes(self, record: RecordedRequest) -> bool:
        """Return whether this request is to go wrong, and count it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if record.item_id is not None and self.cuts:
            return False
        if not (
            fnmatchcase(record.path, self.path)
            and self.service in {None, record.service}
            and self.method in {None, record.method}
        ):
            return False
        if self._passed < self.after:
            self._passed += 1
            return False
        self.hits += 1
        return True


class Faults:
    """The faults planted now. A request is struck by the first one that fits it, in the order they were added."""

    def __init__(self) -> None:
        self._planted: list[Fault] = []

    def add(
        self,
        path: str,
        *,
        service: str | None = None,
        method: str | None = None,
        times: int | None = 1,
        after: int = 0,
        status: int | None = None,
        body: str | bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        throttle: float | str | None = None,
        html: bool = False,
        empty: bool = False,
        half_body: bool = False,
        cut_request_after: int | None = None,
        cut_answer_after: int | None = None,
        reset: Literal["before", "after"] | None = None,
        delay_s: float = 0.0,
    ) -> Fault:
        """
        Plant a fault: one effect, and a delay before it if wanted. A delay alone lets the real answer follow.

        Items of a Graph batch are struck like requests of their own. Only what cuts the connection (*half_body*,
        *reset*) passes them by, uncounted: an item has no connection, its batch has.

        Args:
            path: Which paths it strikes, as ``fnmatch`` reads it: ``"/v1.0/users*"``.
            service: Only at this service: ``"identity"``, ``"graph"``, ``"endpoint"``, …
            method: Only for this method.
            times: How many requests it strikes before it is spent; ``None`` for every one.
            after: How many requests that fit are let through first.
            status: Answer with this status instead of the service.
            body: The body of that answer: a text, bytes, or an object for JSON. Without one, the service's own shape
                of an error of that status.
            headers: Headers to add to that answer, or to the one *throttle*, *html* or *empty* makes.
            throttle: Answer 429 in the service's own shape, with this ``Retry-After``: seconds, or a text as it is,
                such as an HTTP date.
            html: Answer 200 with a web page, as a captive portal does.
            empty: Answer 200 ``application/json`` without a single byte.
            half_body: Send the real answer's headers and only half of its body, then close the connection. An answer
                without a body, such as a 204, is whole; the connection is closed after it all the same.
            cut_request_after: Abort the connection (RST) once that many bytes of the request's body have arrived, or
                all of a shorter one. The service never sees the request.
            cut_answer_after: Send the real answer's headers and that many bytes of its body, then close the connection;
                a body that is no longer arrives whole.
            reset: Abort the connection (RST) ``"before"`` the service has seen the request, or ``"after"`` it has
                acted on it.
            delay_s: Seconds on the emulator's clock to wait before anything else happens.

        Returns:
            The fault; its ``hits`` count the requests struck.

        Raises:
            ValueError: If there is no effect, or more than one, or a value that could never do anything.
        """
        if not path.startswith(("/", "*", "?", "[")):
            message = f"A path begins with '/': no request would match {path!r}."
            raise ValueError(message)
        if (times is not None and times < 1) or after < 0 or not 0 <= delay_s < math.inf:
            message = "times must be at least 1, after and delay_s at least 0."
            raise ValueError(message)
        if status is not None and not 200 <= status <= 599:
            message = f"No answer has the status {status}."
            raise ValueError(message)
        if isinstance(throttle, int | float) and not 0 <= throttle < math.inf:
            message = f"throttle must be a number of seconds or a text, not {throttle}."
            raise ValueError(message)
        if reset not in {None, "before", "after"}:
            message = f"reset must be 'before' or 'after', not {reset!r}."
            raise ValueError(message)
        if min(cut_request_after or 0, cut_answer_after or 0) < 0:
            message = "A connection is cut after some bytes or none, never after fewer."
            raise ValueError(message)
        cut = cut_request_after is not None, cut_answer_after is not None
        effects = [status is not None, throttle is not None, html, empty, half_body, *cut, reset is not None]
        if sum(effects) > 1 or not (any(effects) or delay_s > 0):
            message = (
                "A fault needs one effect of status, throttle, html, empty, half_body, cut_request_after, "
                "cut_answer_after and reset, or a delay_s."
            )
            raise ValueError(message)
        if body is not None and status is None:
            message = "A body needs a status."
            raise ValueError(message)
        if headers and (half_body or any(cut) or reset is not None or sum(effects) == 0):
            message = "Added headers need an answer that is planted: status, throttle, html or empty."
            raise ValueError(message)
        fault = Fault(
            path=path,
            service=service,
            method=method.upper() if method else None,
            times=times,
            after=after,
            status=status,
            body=body,
            headers=dict(headers or {}),
            throttle=throttle,
            html=html,
            empty=empty,
            half_body=half_body,
            cut_request_after=cut_request_after,
            cut_answer_after=cut_answer_after,
            reset=reset,
            delay_s=delay_s,
        )
        self._planted.append(fault)
        return fault

    def clear(self) -> None:
        """Remove every fault."""
        self._planted.clear()

    def strike(self, record: RecordedRequest) -> Fault | None:
        """Return the fault that strikes this request, counting the hit, or ``None``."""
        return next((fault for fault in self._planted if fault.strikes(record)), None)
