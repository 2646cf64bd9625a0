"""A Key Vault that cannot be read, or holds what cannot be used: each failure is explained, waited out or cut short."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from entra_async.clouds import Endpoint
from entra_async.credentials.key_vault import KeyVault
from entra_async.errors import AuthenticationError
from entra_async.testing import Emulator
from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.entra.app_registrations import App
from tests.support.virtual_clock import VirtualClock

CANARY = "canary-5ecret-value"
VAULT = "/secrets*"


@pytest.fixture
def app(emulator: Emulator) -> App:
    """Return an app whose secret is in the vault as ``app``."""
    app = emulator.register_app(secret=CANARY)
    emulator.vault.set_secret("app", CANARY)
    return app


def provider(emulator: Emulator, app: App, **values: Any) -> KeyVault:
    given = {
        "client_id": app.client_id,
        "tenant_id": emulator.tenant_id,
        "vault_name": emulator.vault.name,
        "secret_name": "app",
        "credential": emulator.client_secret,
    }
    return KeyVault(**{**given, **values})


def disable(emulator: Emulator) -> None:
    emulator.vault.versions("app")[0].enabled = False


def expire(emulator: Emulator) -> None:
    emulator.vault.versions("app")[0].expires_on = int(emulator.clock.now())


def postpone(emulator: Emulator) -> None:
    emulator.vault.versions("app")[0].not_before = int(emulator.clock.now()) + 60


def forbid(emulator: Emulator) -> None:
    emulator.vault.allow(emulator.app.client_id, [])


def forbid_and_disable(emulator: Emulator) -> None:
    emulator.vault.allow(emulator.app.client_id, ["get"])
    disable(emulator)


def firewall(emulator: Emulator) -> None:
    emulator.vault.behaviour.firewalled = True


def delete(emulator: Emulator) -> None:
    emulator.vault.delete_secret("app")


def certificate_without_key(emulator: Emulator) -> None:
    emulator.vault.set_certificate("app", make_key_pair("vault"), exportable=False)


def broken_pfx(emulator: Emulator) -> None:
    emulator.vault.set_secret("app", "MIIB", content_type="application/x-pkcs12")


def no_base64(emulator: Emulator) -> None:
    emulator.vault.set_secret("app", CANARY, content_type="application/x-pkcs12")


def no_pem(emulator: Emulator) -> None:
    emulator.vault.set_secret("app", CANARY, content_type="application/x-pem-file")


def blank(emulator: Emulator) -> None:
    emulator.vault.set_secret("app", "  ")


def fault(**planted: Any) -> Callable[[Emulator], None]:
    return lambda emulator: (emulator.faults.add(VAULT, service="key_vault", times=None, **planted), None)[1]


REFUSALS: dict[str, tuple[Callable[[Emulator], None], int | None, str]] = {
    "disabled": (disable, 403, "no version that is enabled and valid"),
    "expired": (expire, 403, "no version that is enabled and valid"),
    "not yet valid": (postpone, 403, "no version that is enabled and valid"),
    "no permission": (forbid, 403, "AccessDenied.*permissions Get and List"),
    "disabled, may not list": (forbid_and_disable, 403, "SecretDisabled.*Enable a version"),
    "firewall": (firewall, 403, "ForbiddenByFirewall.*network rules"),
    "deleted": (delete, 404, "no secret 'app'.*can be recovered"),
    "key not exportable": (certificate_without_key, None, "cannot be used.*key be exported"),
    "broken certificate": (broken_pfx, None, "cannot be used"),
    "no base64": (no_base64, None, "no base64"),
    "no PEM": (no_pem, None, "cannot be used"),
    "blank": (blank, None, "cannot be used"),
    "fails": (fault(status=500), 500, "500 InternalServerError"),
    "page of a proxy": (fault(html=True), None, "response is invalid.*proxy"),
    "no JSON": (fault(status=200, body="{"), None, "response is invalid"),
    "other JSON": (fault(status=200, body={"hello": "world"}), 404, "no secret"),
    "cut off": (fault(reset="before"), None, "could not be requested"),
    "throttled for long": (fault(throttle=3600), 429, "throttles for 3600 s"),
    "throttled": (fault(throttle=1), 429, "429 .*too many requests"),
    "token refused": (fault(status=401), 401, "401 .*tenant"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_failure_of_the_vault_is_explained(
    case: str, emulator: Emulator, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """What a vault refuses or holds in a wrong way is a typed error with a remedy; the secret shows nowhere."""
    caplog.set_level(logging.DEBUG)
    prepare, status, text = REFUSALS[case]
    await anyio.to_thread.run_sync(prepare, emulator)
    async with emulator.session(clock=VirtualClock()) as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(provider(emulator, app))

    assert caught.value.status == status
    assert caught.value.hint
    assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    shown += "".join(record.getMessage() for record in caplog.records)
    assert CANARY not in shown


async def test_a_passing_failure_is_waited_out(emulator: Emulator, app: App) -> None:
    """A 503 and a 429 that pass are waited for on the Session's clock."""
    clock = VirtualClock()
    emulator.faults.add("/secrets/app/versions", after=1, status=503)
    emulator.faults.add("/secrets/app/*", after=2, throttle=7)
    async with emulator.session(clock=clock) as session:
        await session.connect(provider(emulator, app))

    assert 7.0 in clock.sleeps
    statuses = [request.status for request in emulator.requests if request.service == "key_vault"]
    assert sorted(statuses, key=str) == [200, 200, 401, 429, 503]


async def test_an_unknown_vault(emulator: Emulator, app: App) -> None:
    """A vault that cannot be reached is told by its name's lack of a host, not by a token service's failure."""
    nowhere = replace(emulator.cloud, key_vault=Endpoint("https://%VAULTNAME%.invalid", "https://vault.azure.net"))
    async with emulator.session(cloud=nowhere, clock=VirtualClock()) as session:
        with pytest.raises(AuthenticationError, match=r"could not be requested.*Check vault_name=") as caught:
            await session.connect(provider(emulator, app, vault_name="gone"))

    assert "https://gone.invalid" in str(caught.value)


async def test_a_vault_gets_a_token_for_vaults_and_no_other(emulator: Emulator, app: App) -> None:
    """A host whose challenge names another service's scope gets no token."""
    challenge = (
        f'Bearer authorization="{emulator.authority}/{emulator.tenant_id}", resource="https://graph.microsoft.com"'
    )
    emulator.faults.add(VAULT, times=None, status=401, headers={"WWW-Authenticate": challenge})
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=r"token for https://graph\.microsoft\.com, which is not allowed"):
            await session.connect(provider(emulator, app))

    assert not emulator.token_requests


async def test_a_time_limit_ends_the_reading(emulator: Emulator, app: App) -> None:
    """A vault that never responds ends at the limit."""
    emulator.faults.add(VAULT, times=None, delay_s=3600)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=r"within 0\.2 s"):
            await session.connect(provider(emulator, app, timeout_s=0.2))


async def test_cancelling_ends_the_reading(emulator: Emulator, app: App) -> None:
    """A sign-in that is cancelled while the vault thinks leaves no task behind."""
    emulator.faults.add(VAULT, times=None, delay_s=3600)
    async with emulator.session() as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.connect, provider(emulator, app))
            await emulator.requests.wait_for(1, service="key_vault")
            group.cancel_scope.cancel()
        with anyio.fail_after(2):
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()

    assert not emulator.token_requests


async def test_a_vault_of_another_tenant(emulator: Emulator, app: App) -> None:
    """A challenge that names another tenant is followed; a vault that has moved back since is read all the same."""
    other = "22222222-2222-2222-2222-222222222222"
    challenge = f'Bearer authorization="{emulator.authority}/{other}", resource="https://vault.azure.net"'
    planted = emulator.faults.add(VAULT, status=401, headers={"WWW-Authenticate": challenge})
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))
        assert [request.path.split("/")[1] for request in emulator.token_requests][:2] == [emulator.tenant_id, other]
        planted.times = None
        emulator.clock.move(29 * 3600)
        with pytest.raises(AuthenticationError) as caught:
            await session.connection().get_token()

    assert caught.value.code == "AADSTS90002"
