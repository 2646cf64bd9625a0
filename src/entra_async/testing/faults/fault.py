"""A fault, or a mixture of them, and which requests it is injected into."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.wire.record import RecordedRequest

__all__ = ("Fault", "FaultMix", "WrongJson")

WrongJson = Literal["truncated", "type", "nan"]
"""Half of the text, the text in an array, or a ``NaN`` in it: each with a ``Content-Length`` that fits."""


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """
    One fault; :meth:`~entra_async.testing.faults.faults.Faults.add` says what the fields mean.

    Attributes:
        hits: How many requests it has been injected into so far.
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
    endless: bool
    half_body: bool
    cut_request_after: int | None
    cut_response_after: int | None
    wrong_json: WrongJson | None
    slow_body_s: float
    skew_s: float
    reset: Literal["before", "after"] | None
    delay_s: float
    share: float
    seed: int
    hits: int = 0
    _passed: int = field(default=0, init=False)
    _chance: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)  # noqa: S311 -- it is to be the same in every run

    @property
    def affects_connection(self) -> bool:
        """Whether it affects the connection or the bytes sent. It applies to a batch, never to one item of it."""
        return any(
            (
                self.endless,
                self.half_body,
                self.cut_request_after is not None,
                self.cut_response_after is not None,
                self.wrong_json is not None,
                self.slow_body_s,
                self.skew_s,
                self.reset is not None,
            )
        )

    def applies_to(self, record: RecordedRequest) -> bool:
        """Return whether the request is one that it can be injected into."""
        if record.item_id is not None and self.affects_connection:
            return False
        return (
            fnmatchcase(record.path, self.path)
            and self.service in {None, record.service}
            and self.method in {None, record.method}
        )

    def match(self, record: RecordedRequest) -> Fault | None:
        """Return this fault if the request is to go wrong, and count it."""
        if (self.times is not None and self.hits >= self.times) or not self.applies_to(record):
            return None
        if self._passed < self.after:
            self._passed += 1
            return None
        if self.share < 1 and self._chance.random() >= self.share:
            return None
        self.hits += 1
        return self


class FaultMix:
    """
    Faults of several kinds, one of which is injected into a share of the requests.

    :meth:`~entra_async.testing.faults.faults.Faults.mix` says more.

    Attributes:
        faults: The faults by kind; each counts its ``hits``.

    Args:
        faults: The faults by kind; they differ in nothing but the effect.
        share: The share of the matching requests they are injected into.
        seed: Of the random numbers.
    """

    def __init__(self, faults: Mapping[str, Fault], *, share: float, seed: int) -> None:
        self.faults = faults
        self._share = share
        self._chance = Random(seed)  # noqa: S311 -- it is to be the same in every run

    @property
    def hits(self) -> int:
        """How many requests have got one of them so far."""
        return sum(fault.hits for fault in self.faults.values())

    def match(self, record: RecordedRequest) -> Fault | None:
        """Return the fault to inject into this request, counting the hit, or ``None``."""
        faults = [fault for fault in self.faults.values() if fault.applies_to(record)]
        if not faults or self._chance.random() >= self._share:
            return None
        return self._chance.choice(faults).match(record)
