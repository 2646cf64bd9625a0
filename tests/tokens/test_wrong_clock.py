"""The machine's clock is wrong: tokens are issued and expire in time all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.core.credentials import AccessToken

from entra_async.errors import AuthenticationError

if TYPE_CHECKING:
    from entra_async.config import Clock
    from entra_async.testing import Emulator


class WrongClock:
    """The emulator's clock, as seen by a machine that is so many seconds ahead of it."""

    def __init__(self, clock: Clock, ahead_s: float) -> None:
        self._clock = clock
        self.ahead_s = ahead_s

    def now(self) -> float:
        return self._clock.now() + self.ahead_s

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@pytest.mark.parametrize("ahead_s", [-3600, -900, 900, 3600])
async def test_an_assertion_is_dated_by_the_services_clock(emulator: Emulator, ahead_s: float) -> None:
    """The first assertion is refused for its times, and the response has the right time: all after it are valid."""
    async with emulator.session(clock=WrongClock(emulator.clock, ahead_s)) as session:
        await session.connect(emulator.certificate)
        assert [each.status for each in emulator.token_requests] == [401, 200]
        emulator.requests.clear()
        await session.connect(emulator.certificate, service="Endpoint")

    assert [each.status for each in emulator.token_requests] == [200]


async def test_a_right_clock_is_not_put_right(emulator: Emulator) -> None:
    """An assertion that is refused for another reason is not made twice."""
    emulator.certificate_app.certificates.clear()
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError):
            await session.connect(emulator.certificate)

    assert len(emulator.token_requests) == 1


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
async def test_a_token_lives_as_long_as_it_was_given(emulator: Emulator, ahead_s: float) -> None:
    """Its life is counted from when it was requested, not compared with the service's date."""
    async with emulator.session(clock=WrongClock(emulator.clock, ahead_s)) as session:
        graph = await session.connect(emulator.client_secret)
        assert graph.token is not None
        life_s = graph.token.expires_on - emulator.clock.now() - ahead_s
        emulator.clock.move(life_s / 2)
        await graph.invoke("users?$top=1", paging=False)
        assert len(emulator.token_requests) == 1
        emulator.clock.move(life_s / 2)
        await graph.invoke("users?$top=1", paging=False)

    assert len(emulator.token_requests) == 2
    assert {each.status for each in emulator.requests} == {200}


@pytest.mark.parametrize("ahead_s", [-1200, 0, 1200])
async def test_another_librarys_expiry_is_by_the_services_clock(emulator: Emulator, ahead_s: float) -> None:
    """A credential passes on the token's expiry by the service's clock: the token is not used beyond that."""
    issued: list[AccessToken] = []

    async with emulator.session() as right, emulator.session(clock=WrongClock(emulator.clock, ahead_s)) as session:
        source = (await right.connect(emulator.client_secret)).account.source

        async def credential() -> AccessToken:
            token = await source.get_token("https://graph.microsoft.com/.default")
            issued.append(AccessToken(token.token, token.claims["exp"]))
            return issued[-1]

        graph = await session.connect(credential)
        emulator.clock.move(issued[0].expires_on - emulator.clock.now() + 5)
        await graph.invoke("users/ada@contoso.com")

    assert len(issued) == 2
    assert emulator.requests.count(service="graph") == 1
