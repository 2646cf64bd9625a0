"""When the emulated services take an access token for valid."""

from __future__ import annotations

import anyio.to_thread
import pytest
from aiohttp.test_utils import make_mocked_request

from entra_async.testing.crypto.signing import SigningKey
from entra_async.testing.entra.tenant import Tenant
from entra_async.testing.entra.tokens.access import AccessTokenVerifier, Unauthorized
from entra_async.testing.entra.tokens.access_evaluation import AccessEvaluation
from tests.emulator.conftest import SteppedClock


class NoonClock(SteppedClock):
    """A clock that stands at a whole second, which the sum of two floats rarely is."""

    def now(self) -> float:
        return 1_800_000_000.0


@pytest.mark.parametrize(("from_s", "to_s", "valid"), [(0, 1, True), (-60, 60, True), (1, 60, False), (-60, 0, False)])
async def test_token_is_valid_from_its_first_second_to_before_its_last(from_s: int, to_s: int, *, valid: bool) -> None:
    """A token counts from nbf on, that second included, and until exp, that second excluded."""
    key = await anyio.to_thread.run_sync(SigningKey)
    clock = NoonClock()
    now = int(clock.now())
    tenant = Tenant(domain="contoso.com")
    claims = {"aud": "me", "tid": tenant.id, "idtyp": "app", "nbf": now + from_s, "exp": now + to_s}
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {key.sign(claims)}"})
    authorize = AccessTokenVerifier(tenant=tenant, key=key, clock=clock, evaluation=AccessEvaluation(clock))
    if valid:
        assert authorize(request, {"me"}).app_only
    else:
        with pytest.raises(Unauthorized, match="expired or is not yet valid"):
            authorize(request, {"me"})
