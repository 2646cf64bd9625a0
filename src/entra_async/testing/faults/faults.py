"""Fault injection: which requests fail, and how."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from entra_async.testing.faults.fault import Fault, FaultMix, WrongJson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entra_async.testing.wire.record import RecordedRequest

__all__ = ("Faults",)

_MIXED: Final[Mapping[str, Mapping[str, Any]]] = {
    "throttle": {"throttle": 1.0},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "504": {"status": 504},
    "reset_before": {"reset": "before"},
    "reset_after": {"reset": "after"},
    "half_body": {"half_body": True},
    "html": {"html": True},
    "wrong_json": {"wrong_json": "truncated"},
}


class Faults:
    """The faults to inject. A request gets the first one that matches it, in the order they were added."""

    def __init__(self) -> None:
        self._injected: list[Fault | FaultMix] = []

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
        endless: bool = False,
        half_body: bool = False,
        cut_request_after: int | None = None,
        cut_response_after: int | None = None,
        wrong_json: WrongJson | None = None,
        slow_body_s: float = 0.0,
        skew_s: float = 0.0,
        reset: Literal["before", "after"] | None = None,
        delay_s: float = 0.0,
        share: float = 1.0,
        seed: int = 0,
    ) -> Fault:
        """
        Inject a fault: one effect, and a delay before it if wanted. A delay alone lets the real response follow.

        Items of a Graph batch get faults like requests of their own. Only what is done to the connection, or to the
        bytes that go over it (*endless* to *skew_s*, and *reset*), does not apply to them, and is not counted: an
        item has no connection, its batch has.

        Args:
            path: Which paths it applies to, as ``fnmatch`` reads it: ``"/v1.0/users*"``.
            service: Only at this service: ``"identity"``, ``"graph"``, ``"endpoint"``, …
            method: Only for this method.
            times: How many requests it is injected into; ``None`` for every one.
            after: How many matching requests are let through first.
            status: Respond with this status instead of the service.
            body: The body of that response: a text, bytes, or an object for JSON. Without one, the service's own shape
                of an error of that status.
            headers: Headers to add to that response, or to the one *throttle*, *html* or *empty* makes.
            throttle: Respond with 429 in the service's own shape, with this ``Retry-After``: seconds, or a text as it
                is, such as an HTTP date.
            html: Respond with 200 and a web page, as a captive portal does.
            empty: Respond with 200 ``application/json`` without a single byte.
            endless: Respond with 200 and a JSON text that never ends.
            half_body: Send the real response's headers and only half of its body, then close the connection. A response
                without a body, such as a 204, is whole; the connection is closed after it all the same.
            cut_request_after: Abort the connection (RST) once that many bytes of the request's body have arrived, or
                all of a shorter one. The service never sees the request.
            cut_response_after: Send the headers of the service's response and that many bytes of its body, then close
                the connection; a body that is no longer arrives whole.
            wrong_json: Corrupt the JSON of the real response, which looks whole otherwise: ``"truncated"`` gives the
                first half of the text, ``"type"`` an array with what should have been there, ``"nan"`` a ``NaN`` in it.
                A response that is no JSON is left as it is.
            slow_body_s: Seconds on the emulator's clock that the body of the real response takes, in ten pieces.
            skew_s: Seconds the real response's ``Date`` is ahead of the emulator's clock, or behind it if negative. To
                have every service and token off, give the client another clock instead.
            reset: Abort the connection (RST) ``"before"`` the service has seen the request, or ``"after"`` it has
                acted on it.
            delay_s: Seconds on the emulator's clock to wait before anything else happens.
            share: The share of the matching requests it is injected into, at random.
            seed: Of the random numbers: the same requests in the same order get the same faults.

        Returns:
            The fault; its ``hits`` count the requests it was injected into.

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
            message = f"No response has the status {status}."
            raise ValueError(message)
        if isinstance(throttle, int | float) and not 0 <= throttle < math.inf:
            message = f"throttle must be a number of seconds or a text, not {throttle}."
            raise ValueError(message)
        if not 0 < share <= 1:
            message = f"share must be more than 0 and at most 1, not {share}."
            raise ValueError(message)
        if not (0 <= slow_body_s < math.inf and math.isfinite(skew_s)):
            message = "slow_body_s and skew_s must be numbers of seconds, slow_body_s not negative."
            raise ValueError(message)
        if wrong_json not in {None, *get_args(WrongJson)}:
            message = f"wrong_json must be one of {', '.join(get_args(WrongJson))}, not {wrong_json!r}."
            raise ValueError(message)
        if reset not in {None, "before", "after"}:
            message = f"reset must be 'before' or 'after', not {reset!r}."
            raise ValueError(message)
        if min(cut_request_after or 0, cut_response_after or 0) < 0:
            message = "A connection is cut after some bytes or none, never after fewer."
            raise ValueError(message)
        injected = [status is not None, throttle is not None, html, empty]
        cutting = [endless, half_body, cut_request_after is not None, cut_response_after is not None, reset is not None]
        effects = [*injected, *cutting, wrong_json is not None, slow_body_s > 0, skew_s != 0]
        if sum(effects) > 1 or not (any(effects) or delay_s > 0):
            message = (
                "A fault needs one effect of status, throttle, html, empty, endless, half_body, cut_request_after, "
                "cut_response_after, wrong_json, slow_body_s, skew_s and reset, or a delay_s."
            )
            raise ValueError(message)
        if body is not None and status is None:
            message = "A body needs a status."
            raise ValueError(message)
        if headers and not any(injected):
            message = "Added headers need an injected response: status, throttle, html or empty."
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
            endless=endless,
            half_body=half_body,
            cut_request_after=cut_request_after,
            cut_response_after=cut_response_after,
            wrong_json=wrong_json,
            slow_body_s=slow_body_s,
            skew_s=skew_s,
            reset=reset,
            delay_s=delay_s,
            share=share,
            seed=seed,
        )
        self._injected.append(fault)
        return fault

    def mix(
        self,
        path: str,
        *,
        share: float,
        seed: int = 0,
        service: str | None = None,
        method: str | None = None,
        kinds: Iterable[str] = tuple(_MIXED),
        retry_after_s: float = 1.0,
    ) -> FaultMix:
        """
        Inject faults of several kinds into a share of the requests, each chosen at random.

        Args:
            path: Which paths it applies to, as :meth:`add` takes it.
            share: The share of the matching requests they are injected into: 0.02 for two in a hundred.
            seed: Of the random numbers: the same requests in the same order get the same faults.
            service: Only at this service.
            method: Only for this method.
            kinds: Which kinds: ``"throttle"`` (a 429), ``"500"``, ``"502"``, ``"503"``, ``"504"``, ``"reset_before"``,
                ``"reset_after"``, ``"half_body"``, ``"html"`` and ``"wrong_json"`` (cut off, but complete by its
                ``Content-Length``); all, each as often as the others, unless given.
            retry_after_s: What ``Retry-After`` of a 429 says.

        Returns:
            The mixture; its ``hits`` count the requests with a fault, those of its ``faults`` by kind.

        Raises:
            ValueError: If *kinds* is empty or holds an unknown one, or a value could never do anything.
        """
        chosen = list(kinds)
        if not chosen or (unknown := set(chosen) - _MIXED.keys()):
            message = (
                f"kinds must be some of {', '.join(_MIXED)}, not {', '.join(sorted(unknown)) if chosen else 'none'}."
            )
            raise ValueError(message)
        if not 0 < share <= 1:
            message = f"share must be more than 0 and at most 1, not {share}."
            raise ValueError(message)
        effects = {**_MIXED, "throttle": {"throttle": retry_after_s}}
        unregistered = Faults()
        faults = {
            kind: unregistered.add(path, service=service, method=method, times=None, **effects[kind]) for kind in chosen
        }
        mix = FaultMix(faults, share=share, seed=seed)
        self._injected.append(mix)
        return mix

    def clear(self) -> None:
        """Remove every fault."""
        self._injected.clear()

    def match(self, record: RecordedRequest) -> Fault | None:
        """Return the fault to inject into this request, counting the hit, or ``None``."""
        matches = (injected.match(record) for injected in self._injected)
        return next((fault for fault in matches if fault is not None), None)
