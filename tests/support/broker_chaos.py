"""
A broker among tenants, users, services, failures and clocks that jump, and what must be true of it all the time.

``python -m tests.support.broker_chaos 1000000`` makes a million look-ups at random and says what happened.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from itertools import count

from entra_async.errors import AuthenticationError, ClosedError
from entra_async.rules.tokens.claims import covers
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token

TENANTS, USERS, RESOURCES = 50, 10, 5
LIMIT = 400
LIVES_S = (1, 50, 299, 3600, 90_000)
CHALLENGES = (None, '{"access_token": {"acrs": {"value": "c1"}}}', '{"access_token": {"nbf": {"value": "1"}}}')


class Clock:
    """True time, and a wall clock that may be anywhere."""

    def __init__(self) -> None:
        self.true_s = 1_000.0
        self.wall_ahead_s = 1_800_000_000.0

    def now(self) -> float:
        return self.true_s + self.wall_ahead_s

    def monotonic(self) -> float:
        return self.true_s

    async def sleep(self, seconds: float) -> None:
        self.true_s += seconds


class BrokerChaos:
    """
    Calls a broker at random, and checks every token it returns.

    Attributes:
        counts: What happened so far.
        faults: What must never happen, and did.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.clock = Clock()
        self.random = random.Random(seed)
        self.broker = Broker(clock=self.clock, limit=LIMIT, chance=self.random.random)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._numbers = count()
        self._in_flight: dict[TokenKey, asyncio.Future[str]] = {}
        self._expires_at: dict[str, float] = {}
        self._rejected: set[str] = set()
        self._challenged: dict[TokenKey, str] = {}
        self._callers: set[asyncio.Task[None]] = set()

    def key(self, number: int) -> TokenKey:
        """Return one of the keys; some differ in one field only, each of the fields."""
        user, number = number % USERS, number // USERS
        resource, tenant = number % RESOURCES, number // RESOURCES % TENANTS
        return TokenKey(
            f"https://login{tenant % 2}.example",
            f"tenant-{tenant // 2}",
            f"user-{user // 2}",
            (f"api://{resource // 2}/.default",),
            "{}" if resource % 2 else None,
            enable_cae=user % 2 == 0,
        )

    def look_up(self, number: int) -> None:
        """Begin a look-up."""
        self.counts["look-ups"] += 1
        key = self.key(number)
        cached = self.broker.find(key)  # as most callers do first
        if cached is not None:
            self._check(key, cached)
            return
        task = asyncio.create_task(self._get(key))
        self._callers.add(task)
        task.add_done_callback(self._callers.discard)

    async def _get(self, key: TokenKey) -> None:
        try:
            token = await self.broker.get(key, _Source(self, key))
        except AuthenticationError:
            self.counts["failures"] += 1
        except ClosedError:
            self.counts["forgotten"] += 1
        else:
            self._check(key, token)

    def _check(self, key: TokenKey, token: Token) -> None:
        secret, _, number = token.token.rpartition(" ")
        self.counts["tokens"] += 1
        # One that was requested with claims replaces the one without.
        if secret not in (repr(tuple(key)), repr(tuple(key._replace(claims="{}")))):
            self.faults.append(f"a token of {secret} for {key}")
        if self.clock.true_s >= self._expires_at[number]:
            self.faults.append("an expired token")
        if number in self._rejected:
            self.faults.append("a rejected token")

    async def request(self, key: TokenKey, claims: str | None) -> Token:
        """Respond as a token service would, on command; there is never another request for the key."""
        challenged = self._challenged.get(key)
        if not covers(claims, challenged):
            self.faults.append(f"{claims} is requested, though {challenged} was demanded")
        if key in self._in_flight:
            self.faults.append(f"two requests for {key}")
        self.counts["token requests"] += 1
        response = self._in_flight[key] = asyncio.get_running_loop().create_future()
        requested_at = self.clock.now()
        try:
            if await response == "fail":
                message = "no"
                raise AuthenticationError(message)
        finally:
            self._in_flight.pop(key, None)
        self._challenged.pop(key, None)
        life_s = self.random.choice(LIVES_S)
        number = str(next(self._numbers))
        # It lives from now on; its expiry is counted from when it was requested, by the wall clock of then.
        self._expires_at[number] = self.clock.true_s + life_s
        return Token(f"{tuple(key)!r} {number}", int(requested_at + life_s))

    def respond(self, share: float, *, fail: bool) -> None:
        """Respond to some of the token requests."""
        for future in list(self._in_flight.values()):
            if self.random.random() < share and not future.done():
                future.set_result("fail" if fail else "token")

    def cancel(self, share: float) -> None:
        """Cancel some of the callers."""
        for task in list(self._callers):
            if self.random.random() < share:
                self.counts["cancelled"] += 1
                task.cancel()

    def reject(self, number: int) -> None:
        """A service responds with 401 to a cached token."""
        key = self.key(number)
        cached = self.broker.peek(key)
        if cached is not None:
            self.counts["rejected"] += 1
            self._rejected.add(cached.token.rpartition(" ")[2])
            challenge = self.random.choice(CHALLENGES)
            if challenge is not None:
                self._challenged[key] = challenge
            assert self.broker.rejected(key, cached.token, challenge)
            assert self.broker.peek(key) is None

    def forget(self, user: int) -> None:
        """Somebody disconnects."""
        account = f"user-{user // 2}"
        self.broker.forget(account)
        self._challenged = {key: challenge for key, challenge in self._challenged.items() if key.account != account}

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.true_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.counts["jumps"] += 1
        self.clock.wall_ahead_s += seconds

    async def turn(self) -> None:
        """Let the loop turn a few times."""
        for _ in range(4):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Respond to every request; then nothing may be left."""
        for _ in range(100):
            self.respond(2.0, fail=False)
            await self.turn()
            if not self._in_flight and not self._callers:
                break
        assert not self._in_flight, "requests that never finish"
        assert not self._callers, "callers that hang"
        assert not self.faults, self.faults[:3]
        assert self.broker.stats.cached <= LIMIT
        await self.broker.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "entra_async token"]


class _Source:
    """A token source for one key, so that a mix-up shows."""

    def __init__(self, chaos: BrokerChaos, key: TokenKey) -> None:
        self._chaos = chaos
        self._key = key

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        key = self._key
        assert (scopes, tenant_id, enable_cae) == (key.scopes, key.tenant_id, key.enable_cae)
        assert key.claims is None or claims is not None
        return await self._chaos.request(key, claims)

    async def aclose(self) -> None:
        """Hold nothing."""


async def run(look_ups: int, *, seed: int) -> Counter[str]:
    """Make so many look-ups, with everything else happening at random in between; return what happened."""
    chaos = BrokerChaos(seed=seed)
    chance = chaos.random
    keys = TENANTS * USERS * RESOURCES
    while chaos.counts["look-ups"] < look_ups:
        hot = chance.random() < 0.5
        for _ in range(chance.randrange(40)):
            chaos.look_up(chance.randrange(60 if hot else keys))
        match chance.randrange(12):
            case 0:
                chaos.cancel(0.2)
            case 1 | 2:
                chaos.respond(0.5, fail=True)
            case 3:
                chaos.move(chance.choice((1, 30, 700, 4000)))
            case 4:
                chaos.jump(chance.choice((-7200, -60, 60, 7200)))
            case 5:
                chaos.reject(chance.randrange(60))
            case 6:
                if not chance.randrange(20):
                    chaos.forget(chance.randrange(USERS))
            case _:
                chaos.respond(0.7, fail=False)
        await chaos.turn()
    await chaos.settle()
    return chaos.counts


if __name__ == "__main__":
    happened = asyncio.run(run(int(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 1))
    sys.stdout.write(f"{dict(happened)}\n")
