"""What a test controls around a broker: two clocks, and a token source that responds on command."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from entra_async.errors import InteractionRequiredError
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token

KEY = TokenKey("https://login.example", "contoso.com", "ClientSecret#1", ("https://graph.example/.default",))


class Clock:
    """Two clocks that a test moves, together or each on its own."""

    def __init__(self) -> None:
        self.wall_s = 1_800_000_000.0
        self.monotonic_s = 500.0

    def now(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await checkpoint()

    def move(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


class Source:
    """A token source that responds once ``go`` is set, with a token or an error."""

    def __init__(self, clock: Clock, *, life_s: float = 3600, refresh_in_s: float | None = None) -> None:
        self.clock = clock
        self.life_s = life_s
        self.refresh_in_s = refresh_in_s
        self.claims: list[str | None] = []
        self.error: Exception | None = None
        self.refuses: str | None = None
        self.go = anyio.Event()
        self.go.set()

    @property
    def requests(self) -> int:
        return len(self.claims)

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        self.claims.append(claims)
        number = self.requests
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if claims is not None and claims == self.refuses:
            message = "MFA"
            raise InteractionRequiredError(message, status=400)
        now = self.clock.now()
        refresh_on = None if self.refresh_in_s is None else int(now + self.refresh_in_s)
        return Token(f"token {number}", int(now + self.life_s), refresh_on)

    async def aclose(self) -> None:
        """Hold nothing."""


class InteractiveSource(Source):
    """A token source that needs user interaction."""

    async def get_token_silently(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        self.claims.append("silent")
        message = "The refresh token has expired."
        raise InteractionRequiredError(message)


async def settle() -> None:
    """Let what runs in the background run."""
    await anyio.wait_all_tasks_blocked()
    await checkpoint()
