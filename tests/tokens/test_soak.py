"""A week in virtual time: tokens of an hour, a token service that is down now and then, secrets that change."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async import Certificate, Connection, KeyVault, RetryPolicy
from entra_async.errors import EntraError
from entra_async.testing import Emulator
from tests.support.certificate_pairs import make

HOUR_S = 3600
WEEK_S = 7 * 24 * HOUR_S
STEP_S = 420
TOKEN_PATH = "/*/oauth2/v2.0/token"


@pytest.mark.timeout(60)  # over a thousand calls over real sockets
async def test_a_week_without_a_failed_call_that_a_valid_token_could_have_served(tmp_path: Path) -> None:
    """Outages, rotated secrets and certificates: a call fails only when there is no valid token left."""
    chance = random.Random(11)
    first, second = make(key=0), make(key=1)
    file = anyio.Path(tmp_path / "app.pem")
    await file.write_bytes(first.pem)
    wrong: list[str] = []
    outages = calls = failures = rotations = 0
    # Short waits, since it is in real time that a call waits for its next attempt here.
    retry = RetryPolicy(max_attempts=2, base_delay_s=0.02)
    async with Emulator(users=5, token_lifetime_s=HOUR_S) as emulator, emulator.session(retry=retry) as session:
        in_vault = emulator.register_app(secret="secret 0")
        emulator.vault.set_secret("app", "secret 0")
        in_file = emulator.register_app(certificate_pem=first.public)
        common: dict[str, Any] = {"tenant_id": emulator.tenant_id}
        vault = KeyVault(
            **common,
            client_id=in_vault.client_id,
            vault_name=emulator.vault.name,
            secret_name="app",
            credential=emulator.client_secret,
        )
        certificate = Certificate(**common, client_id=in_file.client_id, path=file)
        connections: list[Connection] = [
            await session.connect(provider, name=name)
            for name, provider in (("secret", emulator.client_secret), ("vault", vault), ("file", certificate))
        ]
        start = emulator.clock.now()
        outage_ends = 0.0
        pairs = [first, second]
        while (elapsed_s := emulator.clock.now() - start) < WEEK_S:
            emulator.clock.move(chance.uniform(0.2, 1.8) * STEP_S)
            now = emulator.clock.now()
            if now >= outage_ends:
                emulator.faults.clear()
                if chance.random() < 0.04:
                    outages += 1
                    outage_ends = now + chance.uniform(1, 55) * 60
                    emulator.faults.add(TOKEN_PATH, times=None, status=chance.choice([500, 503]))
            if chance.random() < 0.01:
                rotations += 1
                in_vault.secrets.clear()
                emulator.vault.set_secret("app", in_vault.add_secret())
                pairs.reverse()
                in_file.certificates[:] = [pairs[0].certificate]
                await file.write_bytes(pairs[0].pem)
            connection = connections[calls % 3]
            calls += 1
            cached = connection.token
            # The service decides what is valid: a second before its expiry a token is not, for a call in flight.
            usable = cached is not None and cached.expires_on > now + 1
            with anyio.fail_after(10):
                try:
                    await connection.invoke("users/ada@contoso.com")
                except EntraError as error:
                    failures += 1
                    if usable or now >= outage_ends:
                        wrong.append(f"after {elapsed_s:.0f} s: {error}")
            # A request in flight is not to take minutes only since the clock is moved.
            while requests := {task for task in asyncio.all_tasks() if task.get_name() == "entra_async token"}:
                await asyncio.wait(requests)
        stats = session.token_stats

    assert not wrong, wrong[:3]
    assert calls > 1200
    assert outages > 30
    assert rotations > 10
    assert failures < 0.1 * calls  # outages that were longer than what the tokens had left
    # At most one request in a quarter of an hour for each of four tokens: no storm in any outage.
    assert stats.requested < 4 * WEEK_S / (15 * 60)
