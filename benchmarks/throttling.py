"""
Crawling under a limit nobody knows: a simulation of a token bucket and of those who ask it, in virtual time.

    python -m benchmarks.throttling                 # an hour at 100/s; takes ten minutes
    python -m benchmarks.throttling --rates 10 1000 --seeds 1

Every request takes 50 to 200 ms. Who has learned nothing sends as fast as its tasks can.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from entra_async.rules.limits.rate_estimator import RateEstimator

__all__ = ("Bucket", "Result", "ideal", "simulate")

LATENCY_S: Final = (0.05, 0.2)
HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0

Changes = Sequence[tuple[float, float]]


class Bucket:
    """
    The limit of a service.

    Args:
        rate: Requests per second that it gains.
        burst_s: How many seconds' worth it holds.
        retry_after_s: The ``Retry-After`` of a refused request.
        drains: Whether a refused request costs one as well, down to as much below empty as it holds.
        changes: When the rate becomes another, and which.
    """

    def __init__(
        self, rate: float, burst_s: float, retry_after_s: float, *, drains: bool = True, changes: Changes = ()
    ) -> None:
        self.retry_after_s = retry_after_s
        self._rate = rate
        self._burst_s = burst_s
        self._drains = drains
        self._changes = deque(changes)
        self._level = rate * burst_s
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Return whether a request is accepted."""
        while self._changes and self._changes[0][0] <= now:
            at, rate = self._changes.popleft()
            self._fill(at)
            self._rate = rate
        self._fill(now)
        if self._level < 1 - 1e-9:
            if self._drains:
                self._level = max(-self._rate * self._burst_s, self._level - 1)
            return False
        self._level -= 1
        return True

    def _fill(self, now: float) -> None:
        self._level = min(self._rate * self._burst_s, self._level + (now - self._at) * self._rate)
        self._at = now


class RateLimiter(Protocol):
    """Decides when requests are sent: the package's own, and those it is compared with."""

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next request may go."""
        ...

    def sent(self, now: float) -> None:
        """Take note that it is sent."""
        ...

    def accepted(self, sent_at: float, now: float) -> object:
        """Take note of a response other than 429."""
        ...

    def refused(self, sent_at: float, now: float, retry_after_s: float) -> object:
        """Take note of a 429."""
        ...


class NoLimiter:
    """Sends at once: a refused request waits out its own Retry-After."""

    def wait_s(self, now: float) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0

    def sent(self, now: float) -> None:
        """Do nothing."""

    def accepted(self, sent_at: float, now: float) -> None:
        """Do nothing."""

    def refused(self, sent_at: float, now: float, retry_after_s: float) -> None:
        """Do nothing."""


class AIMD:
    """Additive increase, multiplicative decrease (RFC 5681), of the rate, with one pause for all after a 429."""

    def __init__(self) -> None:
        self._rate = 10.0
        self._paused_until = -inf
        self._due = 0.0
        self._at = 0.0

    def wait_s(self, now: float) -> float:
        """Return the rest of the pause, or the distance to the next request."""
        return max(0.0, self._paused_until - now, self._due - now)

    def sent(self, now: float) -> None:
        """Space the next one; every second adds 5 % of what the rate began with, at least one request per second."""
        self._rate += now - self._at
        self._at = now
        self._due = max(self._due, now) + 1 / self._rate

    def accepted(self, sent_at: float, now: float) -> None:
        """Do nothing: time makes it faster."""

    def refused(self, sent_at: float, now: float, retry_after_s: float) -> None:
        """Halve the rate, once for each pause."""
        if sent_at >= self._paused_until:
            self._rate = max(1.0, self._rate / 2)
        self._paused_until = max(self._paused_until, now + retry_after_s)
        self._at = self._paused_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """
    A way to crawl.

    Attributes:
        name: What the table calls it.
        limiter: Makes the limiter of each worker.
        alone: Whether each task waits out its own Retry-After.
        retries: How often a request is sent again before it is given up.
        longest_s: The longest Retry-After that is waited for.
    """

    name: str
    limiter: Callable[[], RateLimiter]
    alone: bool = False
    retries: float = inf
    longest_s: float = inf


OURS: Final = Contender(name="entra_async", limiter=RateEstimator)
CONTENDERS: Final = (
    OURS,
    Contender(name="sleep Retry-After", limiter=NoLimiter, alone=True),
    Contender(name="AIMD", limiter=AIMD),
    # https://github.com/microsoft/kiota-python, RetryHandler: 3 retries, no retry from 180 s on
    Contender(name="msgraph-sdk", limiter=NoLimiter, alone=True, retries=3, longest_s=180.0),
)


@dataclass(slots=True)
class Result:
    """
    What came of it.

    Attributes:
        accepted: Requests accepted, by worker.
        first_minute: Those of the first minute, of all workers.
        refused: Answers 429.
        sent: Requests sent, refused ones included.
        lost: Requests given up.
    """

    accepted: list[int]
    first_minute: int = 0
    refused: int = 0
    sent: int = 0
    lost: int = 0


def simulate(
    bucket: Bucket | None,
    limiter: Callable[[], RateLimiter],
    *,
    workers: int = 1,
    tasks: int = 64,
    seconds: float = HOUR_S,
    seed: int = 1,
    contender: Contender = OURS,
) -> Result:
    """
    Let *workers* processes of *tasks* tasks each ask as fast as they may, and return what came of it.

    Args:
        bucket: The limit; ``None`` for none.
        limiter: Makes the limiter of each worker.
        workers: Processes; they know nothing of each other.
        tasks: What each has under way at once.
        seconds: For how long.
        seed: Of the latencies.
        contender: What is done with a refused request.
    """
    chance = random.Random(seed)
    one_way = (LATENCY_S[0] / 2, LATENCY_S[1] / 2)
    limiters = [limiter() for _ in range(workers)]
    result = Result([0] * workers)
    lines = [deque([0] * tasks) for _ in limiters]  # how often each request was refused so far
    woken = [inf] * workers
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, len(events) + result.sent, what))

    def let_go(worker: int, now: float) -> None:
        line = lines[worker]
        while line:
            wait_s = limiters[worker].wait_s(now)
            if wait_s > 0:
                if now + wait_s < woken[worker] - 1e-9:
                    woken[worker] = now + wait_s
                    at(woken[worker], lambda when: wake(worker, when))
                return
            send(worker, now, line.popleft())

    def wake(worker: int, now: float) -> None:
        if woken[worker] <= now:
            woken[worker] = inf
        let_go(worker, now)

    def send(worker: int, now: float, refusals: int) -> None:
        limiters[worker].sent(now)
        result.sent += 1
        at(now + chance.uniform(*one_way), lambda when: arrive(worker, when, now, refusals))

    def arrive(worker: int, now: float, sent_at: float, refusals: int) -> None:
        good = bucket is None or bucket.take(now)
        at(now + chance.uniform(*one_way), lambda when: answer(worker, when, sent_at, refusals, good))

    def answer(worker: int, now: float, sent_at: float, refusals: int, good: bool) -> None:  # noqa: FBT001
        if good or bucket is None:
            limiters[worker].accepted(sent_at, now)
            result.accepted[worker] += 1
            result.first_minute += now <= MINUTE_S
            lines[worker].append(0)
            let_go(worker, now)
            return
        result.refused += 1
        pause_s = bucket.retry_after_s
        limiters[worker].refused(sent_at, now, pause_s)
        if refusals >= contender.retries or pause_s >= contender.longest_s:
            result.lost += 1
            lines[worker].append(0)
        elif contender.alone:
            at(now + pause_s, lambda when: send(worker, when, refusals + 1))
        else:
            lines[worker].appendleft(refusals + 1)
        let_go(worker, now)

    for worker in range(workers):
        let_go(worker, 0.0)
    while events and events[0][0] <= seconds:
        now, _, what = heapq.heappop(events)
        what(now)
    return result


def ideal(rate: float, burst_s: float, seconds: float, *, changes: Changes = ()) -> float:
    """Return all that a bucket gives in that time: what it holds at first, and what it gains."""
    given, since = rate * burst_s, 0.0
    for at, then in (*changes, (seconds, 0.0)):
        given += rate * (min(at, seconds) - since)
        rate, since = then, min(at, seconds)
    return given


SCENARIOS: Final = ("steady", "halved", "four workers")


def scenarios(
    names: Sequence[str], rate: float, seeds: int
) -> Iterator[tuple[str, float, float, bool, int, list[Changes]]]:
    """Yield name, burst, Retry-After, drain, workers and the changes for each seed."""
    for name in names:
        for burst_s in (1.0, 10.0):
            for retry_after_s in (1.0, 5.0, 10.0):
                for drains in (True, False):
                    # The limit comes back at another moment between two trials each time.
                    changes: list[Changes] = [
                        ((1200.0 + 37 * seed, rate / 2), (2400.0 + 57 * seed, rate)) if name == "halved" else ()
                        for seed in range(seeds)
                    ]
                    yield name, burst_s, retry_after_s, drains, 4 if name == "four workers" else 1, changes


def main() -> None:
    """Print a table for each contender."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttling", description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0], help="requests per second")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each; the mean and the worst are printed")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="which of them")
    parser.add_argument("--ours", action="store_true", help="only entra_async")
    arguments = parser.parse_args()
    print("| who | rate | scenario | burst | Retry-After | refusals cost | hour: mean, worst | minute | 429 | lost |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for contender in CONTENDERS[: 1 if arguments.ours else None]:
        for rate in arguments.rates:
            tasks = max(64, int(rate / 4))  # four times as much as the bucket gives, or more
            for name, burst_s, retry_after_s, drains, workers, changes in scenarios(
                arguments.scenarios, rate, arguments.seeds
            ):
                hours, minutes, refused, lost = [], [], [], 0
                for seed, change in enumerate(changes):
                    bucket = Bucket(rate, burst_s, retry_after_s, drains=drains, changes=change)
                    result = simulate(
                        bucket,
                        contender.limiter,
                        workers=workers,
                        tasks=tasks // workers,
                        seed=seed,
                        contender=contender,
                    )
                    hours.append(sum(result.accepted) / ideal(rate, burst_s, HOUR_S, changes=change))
                    minutes.append(result.first_minute / (rate * MINUTE_S))
                    refused.append(result.refused / result.sent)
                    lost += result.lost
                print(
                    f"| {contender.name} | {rate:g}/s | {name} | {burst_s:g} s | {retry_after_s:g} s "
                    f"| {'yes' if drains else 'no'} | {sum(hours) / len(hours):.1%}, {min(hours):.1%} "
                    f"| {min(minutes):.1%} | {max(refused):.2%} | {lost} |",
                    flush=True,
                )
    free = {
        contender.name: sum(simulate(None, contender.limiter, seconds=60, contender=contender).accepted)
        for contender in CONTENDERS
    }
    print("\nRequests in a minute without any limit:", free)


if __name__ == "__main__":
    main()
