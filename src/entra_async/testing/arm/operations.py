"""
Azure's long-running operations: what is under way, how it can be followed, and how it ends.

Source:
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

import math
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

    from entra_async.testing.clock import EmulatorClock

__all__ = ("ArmOperation", "ArmOperations", "OperationForm", "OperationOutcome", "OperationPlan")

OperationForm = Literal["async", "location", "both", "provisioning_state", "immediate"]
"""How it is followed: by ``Azure-AsyncOperation``, ``Location``, both, the resource alone; or it ends at once."""

OperationOutcome = Literal["Succeeded", "Failed", "Canceled"]

_KEPT_S: Final = 86_400.0
_ERRORS: Final[dict[OperationOutcome, tuple[str, str]]] = {
    "Failed": ("AllocationFailed", "Allocation failed. There is no sufficient capacity for the size in this region."),
    "Canceled": ("OperationPreempted", "Operation execution has been preempted by a more recent operation."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPlan:
    """
    How operations go.

    Attributes:
        form: How they can be followed.
        takes_s: Seconds on the emulator's clock until they end.
        outcome: How they end.
        retry_after_s: The ``Retry-After`` of every response while they run, or ``None`` for no such header.
        running: What ``status`` says until then; each provider has words of its own.
        error: Code and message of one that does not succeed, or ``None`` for those of the outcome.
    """

    form: OperationForm = "async"
    takes_s: float = 30.0
    outcome: OperationOutcome = "Succeeded"
    retry_after_s: int | None = 10
    running: str = "InProgress"
    error: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        """
        Check the values.

        Raises:
            ValueError: If one makes no sense.
        """
        if self.form not in get_args(OperationForm) or self.outcome not in get_args(OperationOutcome):
            message = f"There is no form {self.form!r} with the outcome {self.outcome!r}."
            raise ValueError(message)
        if not 0 <= self.takes_s < math.inf or (self.retry_after_s or 0) < 0:
            message = "takes_s and retry_after_s must be numbers of seconds, at least 0."
            raise ValueError(message)
        if self.running in {"", *get_args(OperationOutcome)}:
            message = f"running must not be {self.running!r}: that is no status of a running operation."
            raise ValueError(message)

    @property
    def failure(self) -> tuple[str, str] | None:
        """Code and message of the error it ends with, or ``None`` if it succeeds."""
        return None if self.outcome == "Succeeded" else self.error or _ERRORS[self.outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOperation:
    """
    One operation.

    Attributes:
        id: Its id, a GUID.
        plan: How it goes.
        started_at: Epoch seconds.
        ends_at: Epoch seconds.
        query: The query its URL must be called with, unchanged.
        finish: Applies its effect.
        result: What its ``Location`` responds with in the end: a status, and a body if there is one.
    """

    id: str
    plan: OperationPlan
    started_at: float
    ends_at: float
    query: dict[str, str]
    finish: Callable[[], None] = field(repr=False)
    result: Callable[[], tuple[int, dict[str, Any] | None]] = field(repr=False)

    def has_ended(self, now: float) -> bool:
        """Return whether it has ended."""
        return now >= self.ends_at

    def status(self, path: str, now: float) -> dict[str, Any]:
        """
        Return the JSON behind the ``Azure-AsyncOperation`` URL.

        Args:
            path: The path of that URL.
            now: Epoch seconds.
        """
        body: dict[str, Any] = {"id": path, "name": self.id, "startTime": _moment(self.started_at)}
        if not self.has_ended(now):
            done = (now - self.started_at) / self.plan.takes_s
            return {**body, "status": self.plan.running, "percentComplete": round(100 * done, 1)}
        body |= {"status": self.plan.outcome, "endTime": _moment(self.ends_at)}
        if self.plan.failure is None:
            return {**body, "percentComplete": 100.0}
        code, message = self.plan.failure
        return {**body, "error": {"code": code, "message": message}}


class ArmOperations:
    """
    Every operation of the last day.

    Args:
        clock: The emulator's clock: moving it ends them.

    Attributes:
        plan: How those started from now on go.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self.plan = OperationPlan()
        self._clock = clock
        self._known: dict[str, ArmOperation] = {}
        self._running: list[ArmOperation] = []

    def start(
        self,
        *,
        api_version: str,
        finish: Callable[[], None],
        result: Callable[[], tuple[int, dict[str, Any] | None]],
        plan: OperationPlan | None = None,
    ) -> ArmOperation:
        """
        Start one.

        Args:
            api_version: The version its URLs are called with.
            finish: Applies its effect, once it has ended.
            result: What its ``Location`` responds with then, if it succeeds.
            plan: How it goes, if not as :attr:`plan` says.
        """
        plan = plan or self.plan
        now = self._clock.now()
        query = {
            "api-version": api_version,
            # ARM signs its URLs and puts the certificate in: clients must take 4 KB, and leave them as they are.
            "t": str(int(now * 1000)),
            "c": secrets.token_urlsafe(900),
            "h": secrets.token_urlsafe(32),
        }
        operation = ArmOperation(
            id=str(uuid.uuid4()),
            plan=plan,
            started_at=now,
            ends_at=now + plan.takes_s,
            query=query,
            finish=finish,
            result=result,
        )
        self._known[operation.id] = operation
        self._running.append(operation)
        return operation

    def find(self, operation_id: str) -> ArmOperation | None:
        """Return the operation of that id, or ``None``."""
        return self._known.get(operation_id)

    def complete_due(self) -> None:
        """Apply the effect of what has ended by now, in the order it ended, and forget what ended a day ago."""
        now = self._clock.now()
        ended = [operation for operation in self._running if operation.has_ended(now)]
        for operation in sorted(ended, key=lambda operation: operation.ends_at):
            self._running.remove(operation)
            operation.finish()
        for operation in list(self._known.values()):
            if now < operation.ends_at + _KEPT_S:
                break  # nearly in the order they end: an hour more or less does not matter
            del self._known[operation.id]


def _moment(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()
