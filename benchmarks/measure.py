"""Turn-by-turn measurement: rates, their medians and the ratio of the two."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class Contender:
    """
    One way to do the work.

    Attributes:
        name: What the report calls it.
        work: Does the work once and returns how many units were done.
        expected: How many that must be; anything else is no measurement.
    """

    name: str
    work: Callable[[], Awaitable[int]]
    expected: int


@dataclass(frozen=True, slots=True)
class Result:
    """
    What one contender reached, a figure for each round.

    Attributes:
        name: The contender.
        rates: Units per second.
        cpu_s: Processor time in seconds that one unit cost this process: less noisy than the rate on a busy machine.
        stalls_s: The longest time in seconds that the event loop was blocked.
    """

    name: str
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    stalls_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of units per second."""
        return statistics.median(self.rates)

    @property
    def cpu_s_per_unit(self) -> float:
        """Median of the processor time in seconds for one unit."""
        return statistics.median(self.cpu_s)

    @property
    def stall_s(self) -> float:
        """Median over the rounds of the longest stall in seconds."""
        return statistics.median(self.stalls_s)

    def ratios_to(self, other: Result) -> list[float]:
        """Return the ratio of the rates, round by round: what slows the machine for a while slows both."""
        return [mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True)]

    def cpu_ratios_to(self, other: Result) -> list[float]:
        """Return how much of this one's processor time the other one needs, round by round."""
        return [theirs / mine for mine, theirs in zip(self.cpu_s, other.cpu_s, strict=True)]

    def ratio_to(self, other: Result) -> float:
        """Return the median of those ratios."""
        return statistics.median(self.ratios_to(other))


class StallMeter:
    """
    Measures for how long at most the event loop was busy in one piece.

    Attributes:
        longest_s: The longest delay of a timer in seconds.
        busiest_s: The most processor time in seconds that was used between two beats: a stall of this thread's own
            making, also where others have the processor for a while.
    """

    _INTERVAL_S = 0.005

    def __init__(self) -> None:
        self.longest_s = self.busiest_s = 0.0
        self._used_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        """Start measuring."""
        self._used_s = time.thread_time()
        self._schedule()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring."""
        if self._handle is not None:
            self._handle.cancel()

    def _schedule(self) -> None:
        due = self._loop.time() + self._INTERVAL_S
        self._handle = self._loop.call_at(due, self._observe, due)

    def _observe(self, due: float) -> None:
        used_s = time.thread_time()
        self.longest_s = max(self.longest_s, self._loop.time() - due)
        self.busiest_s, self._used_s = max(self.busiest_s, used_s - self._used_s), used_s
        self._schedule()


async def compare(contenders: list[Contender], *, rounds: int, turns: int = 1) -> list[Result]:
    """
    Let the contenders take turns and return what each reached, in the order given.

    One round that is not counted comes first, so that connections and tokens are there. The order turns round from
    one round to the next: whoever comes first finds other caches than whoever comes second.

    Args:
        contenders: Who takes part.
        rounds: How many rounds count.
        turns: How many turns each has in a round, which is what they take together: a machine that is slow for a second
            is slow for all.

    Raises:
        RuntimeError: If a contender did not do all of the work.
    """
    results = {contender.name: Result(contender.name) for contender in contenders}
    for number in range(rounds + 1):
        elapsed_s, cpu_s, stall_s = (dict.fromkeys(results, 0.0) for _ in range(3))
        for turn in range(turns):
            for contender in contenders if (number + turn) % 2 else reversed(contenders):
                gc.collect()
                with StallMeter() as meter:
                    started, cpu_started = time.perf_counter(), time.process_time()
                    done = await contender.work()
                    elapsed_s[contender.name] += time.perf_counter() - started
                    cpu_s[contender.name] += time.process_time() - cpu_started
                stall_s[contender.name] = max(stall_s[contender.name], meter.longest_s)
                if done != contender.expected:
                    message = f"{contender.name} did {done} of {contender.expected} units."
                    raise RuntimeError(message)
        for contender in contenders if number else ():
            units = contender.expected * turns
            results[contender.name].rates.append(units / elapsed_s[contender.name])
            results[contender.name].cpu_s.append(cpu_s[contender.name] / units)
            results[contender.name].stalls_s.append(stall_s[contender.name])
    return list(results.values())
