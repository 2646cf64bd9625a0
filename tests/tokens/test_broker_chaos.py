"""Whatever happens around it, the broker returns no wrong token, sends no request twice, and leaves nobody waiting."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.support.broker_chaos import LIMIT, RESOURCES, TENANTS, USERS, BrokerChaos, run

KEYS = st.one_of(st.integers(0, 20), st.integers(0, TENANTS * USERS * RESOURCES - 1))
SHARES = st.floats(0, 1)


class BrokerMachine(RuleBasedStateMachine):
    """Hypothesis chooses what happens next, and finds the shortest sequence that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.chaos: BrokerChaos

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        async def make() -> BrokerChaos:
            return BrokerChaos(seed=seed)

        self.chaos = self.runner.run(make())

    @rule(numbers=st.lists(KEYS, min_size=1, max_size=30))
    def look_up(self, numbers: list[int]) -> None:
        async def begin() -> None:
            for number in numbers:
                self.chaos.look_up(number)
            await self.chaos.turn()

        self.runner.run(begin())

    @rule(share=SHARES, fail=st.booleans())
    def respond(self, share: float, *, fail: bool) -> None:
        async def respond() -> None:
            self.chaos.respond(share, fail=fail)
            await self.chaos.turn()

        self.runner.run(respond())

    @rule(share=SHARES)
    def cancel(self, share: float) -> None:
        async def cancel() -> None:
            self.chaos.cancel(share)
            await self.chaos.turn()

        self.runner.run(cancel())

    @rule(number=KEYS)
    def reject(self, number: int) -> None:
        async def reject() -> None:
            self.chaos.reject(number)
            await self.chaos.turn()

        self.runner.run(reject())

    @rule(person=st.integers(0, USERS - 1))
    def forget(self, person: int) -> None:
        async def forget() -> None:
            self.chaos.forget(person)
            await self.chaos.turn()

        self.runner.run(forget())

    @rule(seconds=st.sampled_from([1, 30, 700, 4000, 90_000]))
    def move(self, seconds: float) -> None:
        self.chaos.move(seconds)

    @rule(seconds=st.sampled_from([-90_000, -3600, -60, 60, 3600]))
    def jump(self, seconds: float) -> None:
        self.chaos.jump(seconds)

    def teardown(self) -> None:
        if hasattr(self, "chaos"):
            self.runner.run(self.chaos.settle())
        self.runner.close()


TestBroker = BrokerMachine.TestCase
TestBroker.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.timeout(90)  # ten seconds of computing, which a busy machine takes long for
async def test_fifty_thousand_look_ups_at_random() -> None:
    """A long random sequence, with more tenants, people and services than tokens may be cached."""
    counts = await run(50_000, seed=3)

    assert TENANTS * USERS * RESOURCES > LIMIT
    assert counts["tokens"] > 30_000
    for what in ("cancelled", "failures", "rejected", "forgotten", "jumps"):
        assert counts[what] > 0
