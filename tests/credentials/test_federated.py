"""Signing in with what another issuer says: where the assertion comes from, that it is new each time, its refusals."""

from __future__ import annotations

import asyncio
import pickle
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async.credentials.federated import Federated
from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.testing import Emulator
from entra_async.testing.entra.app_registrations import App, FederatedCredential

SUBJECT = "repo:contoso/app:ref:refs/heads/main"
AUDIENCE = "api://AzureADTokenExchange"
CANARY = "canary-5ecret-value"
IDS: dict[str, Any] = {"client_id": "11111111-1111-1111-1111-111111111111", "tenant_id": "contoso.com"}
VARIABLES = (
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine says about where it is; a metadata service is looked for at a closed port."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")


@pytest.fixture
def app(emulator: Emulator) -> App:
    """Return an app that trusts the emulator's other issuer, and has no secret."""
    trusted = FederatedCredential(issuer=emulator.external_issuer.issuer, subject=SUBJECT)
    return emulator.register_app(federated_credentials=[trusted])


def federated(emulator: Emulator, app: App, **values: Any) -> Federated:
    return Federated(client_id=app.client_id, tenant_id=emulator.tenant_id, **values)


class Issuing:
    """A callable that counts its assertions."""

    def __init__(self, emulator: Emulator) -> None:
        self.issuer = emulator.external_issuer
        self.made: list[str] = []

    def sync(self) -> str:
        time.sleep(0.001)  # blocks: it must run in a thread
        self.made.append(self.issuer.mint(SUBJECT))
        return self.made[-1]

    async def coroutine(self) -> str:
        await anyio.lowlevel.checkpoint()
        self.made.append(self.issuer.mint(SUBJECT))
        return self.made[-1]


@pytest.mark.parametrize("kind", ["sync", "coroutine"])
async def test_a_callable_is_asked_for_each_token(kind: str, emulator: Emulator, app: App) -> None:
    """Each token request has an assertion of its own, for each service and each renewal."""
    issuing = Issuing(emulator)
    async with emulator.session() as session:
        provider = federated(emulator, app, assertion=getattr(issuing, kind))
        await session.connect(provider, service=["Graph", "Endpoint"])
        emulator.clock.move(29 * 3600)
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    assert len(issuing.made) == len(emulator.token_requests) == 3
    assert len(set(issuing.made)) == 3


async def test_many_callers_ask_once(emulator: Emulator, app: App) -> None:
    """Any number of concurrent calls cost one assertion and one token."""
    issuing = Issuing(emulator)
    async with emulator.session() as session:
        connection = await session.connect(federated(emulator, app, assertion=issuing.coroutine))
        emulator.clock.move(29 * 3600)
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(connection.get_token)

    assert len(issuing.made) == 2


async def test_an_assertion_as_text_serves_until_it_expires(emulator: Emulator, app: App) -> None:
    """A literal assertion signs in; after its expiry nothing is sent, and the error says how to do better."""
    assertion = emulator.external_issuer.mint(SUBJECT, lifetime_s=600)
    async with emulator.session() as session:
        connection = await session.connect(federated(emulator, app, assertion=f" {assertion}\n"))
        emulator.clock.move(29 * 3600)
        with pytest.raises(AuthenticationError, match=r"expired at .*give a callable"):
            await connection.get_token()

    assert len(emulator.token_requests) == 1


async def test_a_file_is_read_for_each_token(tmp_path: Path, emulator: Emulator, app: App) -> None:
    """A rotated file is taken up at the next renewal; one that is gone, empty or huge is told by its path."""
    file = anyio.Path(tmp_path / "token")
    await file.write_text(emulator.external_issuer.mint(SUBJECT) + "\n")
    async with emulator.session() as session:
        connection = await session.connect(federated(emulator, app, assertion=Path(file)))
        emulator.clock.move(29 * 3600)
        await file.write_text(emulator.external_issuer.mint(SUBJECT))
        await connection.get_token()
        emulator.clock.move(29 * 3600)
        for content, text in ((b"", "is empty"), (b"x" * 70_000, "too large"), (None, "cannot be read")):
            await (file.unlink() if content is None else file.write_bytes(content))
            with pytest.raises(CredentialUnavailableError, match=text):
                await connection.get_token()

    assert len(emulator.token_requests) == 2


async def test_a_managed_identity_is_an_assertion(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider issues the assertion: a managed identity's token for the exchange signs another app in."""
    async with emulator.managed_identity("app_service") as host:
        for name, value in host.environment.items():
            monkeypatch.setenv(name, value)
        assert host.system_assigned is not None
        issuer = f"{emulator.authority}/{emulator.tenant_id}/v2.0"
        trusted = FederatedCredential(issuer=issuer, subject=host.system_assigned.principal_id)
        app = emulator.register_app(federated_credentials=[trusted])
        for values in ({"assertion": ManagedIdentity()}, {"provider": "managed_identity"}, {}):
            async with emulator.session() as session:
                await session.connect(federated(emulator, app, **values))
                assert (await session.invoke("users/ada@contoso.com"))["givenName"] == "Ada"

    asked = emulator.requests.matching(service="app_service")
    assert [request.query["resource"] for request in asked] == [AUDIENCE] * 3


async def test_a_credential_of_another_library_is_an_assertion(emulator: Emulator, app: App) -> None:
    """A token for the exchange's audience is requested from a credential, and is the assertion."""

    class Credential:
        async def get_token(self, *scopes: str, **_: Any) -> Any:
            self.scopes = scopes
            return {"access_token": emulator.external_issuer.mint(SUBJECT), "expires_in": 60}

    credential = Credential()
    async with emulator.session() as session:
        await session.connect(federated(emulator, app, assertion=credential))

    assert credential.scopes == (f"{AUDIENCE}/.default",)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "subject": ({"subject": "repo:contoso/app:ref:refs/heads/other"}, "AADSTS700213"),
    "audience": ({"subject": SUBJECT, "audience": "api://elsewhere"}, "AADSTS700212"),
    "issuer": ({"subject": SUBJECT, "iss": "https://elsewhere.example"}, "AADSTS700211"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_entra_id_does_not_trust(case: str, emulator: Emulator, app: App) -> None:
    """An assertion with another subject, audience or issuer is a refusal with its code and what to do."""
    claims, code = REFUSED[case]
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(federated(emulator, app, assertion=emulator.external_issuer.mint(**claims)))

    assert (caught.value.code, caught.value.error) == (code, "invalid_client")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("result", "text"), [("opaque", "no JWT"), ("", "no JWT"), (None, "a NoneType"), (b"a.b.c", "a bytes")]
)
async def test_what_is_no_assertion_is_not_sent(result: Any, text: str, emulator: Emulator, app: App) -> None:
    """A callable that returns something else than a JWT is an error, before anything is sent."""
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=text):
            await session.connect(federated(emulator, app, assertion=lambda: result))

    assert not emulator.token_requests


async def test_cancelling_ends_the_wait_for_an_assertion(emulator: Emulator, app: App) -> None:
    """A sign-in that is cancelled while its callable thinks leaves no task behind and sends nothing."""
    begun = anyio.Event()

    async def think() -> str:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with emulator.session() as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.connect, federated(emulator, app, assertion=think))
            await begun.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(2):
            while "entra_async token" in {task.get_name() for task in asyncio.all_tasks()}:
                await anyio.lowlevel.checkpoint()

    assert not emulator.token_requests


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"client_id": "x"}, "client_id"),
        ({"tenant_id": "common"}, "tenant_id"),
        ({"assertion": ""}, "assertion"),
        ({"assertion": 1}, "assertion"),
        ({"assertion": str}, "assertion"),
        ({"provider": "nowhere"}, "provider"),
        ({"provider": None}, "provider"),
        ({"assertion": CANARY, "provider": "github_actions"}, "provider"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], field: str) -> None:
    """Each bad value is told by its field, when the provider is made."""
    with pytest.raises(ConfigurationError) as caught:
        Federated(**{**IDS, **values})

    assert caught.value.field == field
    assert CANARY not in str(caught.value)


def test_a_federated_provider_is_a_plain_value() -> None:
    """It compares, hashes and pickles, and its repr does not show the assertion."""
    for provider in (Federated(**IDS, assertion=CANARY), Federated(**IDS), Federated(**IDS, assertion=Path("x"))):
        assert pickle.loads(pickle.dumps(provider)) == provider
        assert hash(provider) == hash(pickle.loads(pickle.dumps(provider)))
        assert CANARY not in repr(provider)
