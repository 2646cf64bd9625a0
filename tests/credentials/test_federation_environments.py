"""Environments that issue assertions: how each is detected and requested from, and one's own."""

from __future__ import annotations

import logging
import ssl
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from entra_async import Session
from entra_async.clouds import CLOUDS
from entra_async.credentials.federated import Federated
from entra_async.credentials.federation.providers import (
    FederationProvider,
    federation_providers,
    register_federation_provider,
    unregister_federation_provider,
)
from entra_async.credentials.federation.request import FederationRequest
from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.testing import Emulator
from entra_async.testing.entra.app_registrations import App, FederatedCredential
from tests.support.virtual_clock import VirtualClock

SUBJECT = "repo:contoso/app:ref:refs/heads/main"
AUDIENCE = "api://AzureADTokenExchange"
CANARY = "canary-5ecret-value"
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


class Runner:
    """The token service of a build agent: GitHub's or Azure Pipelines'."""

    def __init__(self, emulator: Emulator) -> None:
        self.issuer = emulator.external_issuer
        self.asked: list[web.Request] = []
        self.answers: list[web.Response] = []
        self.field = "value"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.answers:
            return self.answers.pop(0)
        audience = request.query.get("audience", AUDIENCE)
        return web.json_response({self.field: self.issuer.mint(SUBJECT, audience=audience)})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def runner(emulator: Emulator, authority: trustme.CA) -> AsyncIterator[tuple[Runner, str, ssl.SSLContext]]:
    """Yield a build agent's token service over TLS: what it saw, its URL, and a context that trusts it, too."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust = await anyio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=str(emulator.ca_file)))

    def prepare() -> None:
        authority.issue_cert("localhost").configure_cert(tls)
        authority.configure_trust(trust)

    await anyio.to_thread.run_sync(prepare)
    running = Runner(emulator)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", running.answer)
    server = TestServer(application, scheme="https", host="127.0.0.1")
    await server.start_server(ssl=tls)
    yield running, f"https://localhost:{server.port}", trust
    await server.close()


async def test_github_actions(
    runner: tuple[Runner, str, ssl.SSLContext], emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job's URL is requested with its token, for the cloud's audience; a transient failure is retried."""
    service, url, trust = runner
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}/token?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", CANARY)
    service.answers = [web.Response(status=503)]
    clock = VirtualClock()
    async with emulator.session(ssl=trust, clock=clock) as session:
        await session.connect(federated(emulator, app))

    assert [request.method for request in service.asked] == ["GET", "GET"]
    assert dict(service.asked[1].query) == {"api-version": "2.0", "audience": AUDIENCE}
    assert service.asked[1].headers["Authorization"] == f"Bearer {CANARY}"
    assert len(clock.sleeps) == 1


async def test_azure_pipelines(
    runner: tuple[Runner, str, ssl.SSLContext], emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's URL is requested for the service connection's assertion, without a redirect to a sign-in page."""
    service, url, trust = runner
    service.field = "oidcToken"
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", f"{url}/oidctoken")
    monkeypatch.setenv("SYSTEM_ACCESSTOKEN", CANARY)
    monkeypatch.setenv("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection id")
    async with emulator.session(ssl=trust) as session:
        await session.connect(federated(emulator, app, provider="Azure_Pipelines"))

    (request,) = service.asked
    assert (request.method, dict(request.query)) == (
        "POST",
        {"api-version": "7.1", "serviceConnectionId": "connection id"},
    )
    assert request.headers["X-TFS-FedAuthRedirect"] == "Suppress"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"status": 401}, "answered 401"),
        ({"status": 302, "headers": {"Location": "https://elsewhere.example"}}, "answered 302"),
        ({"text": "<html>", "content_type": "text/html"}, "has no 'value'"),
        ({"text": '{"value": null}'}, "has no 'value'"),
        ({"text": "[]"}, "has no 'value'"),
    ],
)
async def test_a_build_agent_that_gives_none(
    answer: dict[str, Any],
    text: str,
    runner: tuple[Runner, str, ssl.SSLContext],
    emulator: Emulator,
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal, a redirect or nonsense is a typed error; the job's token shows nowhere."""
    caplog.set_level(logging.DEBUG)
    service, url, trust = runner
    service.answers = [web.Response(**answer)]
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}/token?secret={CANARY}")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", CANARY)
    async with emulator.session(ssl=trust) as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(federated(emulator, app))

    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    shown += "".join(record.getMessage() for record in caplog.records if record.name != "aiohttp.access")
    assert CANARY not in shown
    assert not emulator.token_requests


async def test_a_job_token_goes_over_tls_only(emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that is not https gets no token."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://localhost:1/token")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", CANARY)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="not the https URL"):
            await session.connect(federated(emulator, app))


async def test_workload_identity(tmp_path: Path, emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod's file is found by its variable and read anew for each token."""
    file = anyio.Path(tmp_path / "token")
    await file.write_text(emulator.external_issuer.mint(SUBJECT))
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    async with emulator.session() as session:
        connection = await session.connect(federated(emulator, app))
        emulator.clock.move(29 * 3600)
        await file.write_text(emulator.external_issuer.mint(SUBJECT))
        await connection.get_token()

    assert len(emulator.token_requests) == 2


async def test_no_environment_is_found_at_once(emulator: Emulator, app: App) -> None:
    """Where no environment is found, an error says so within seconds, and what each environment needs."""
    started = time.monotonic()
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match=r"github_actions, azure_pipelines.*id-token: write"):
            await session.connect(federated(emulator, app))
        with pytest.raises(CredentialUnavailableError, match="looked for: github_actions"):
            await session.connect(federated(emulator, app, provider="github_actions"))

    assert time.monotonic() - started < 5


@pytest.fixture
def own() -> Iterator[list[FederationRequest]]:
    """Register an environment of one's own, first of all, for one test; yield its requests."""
    asked: list[FederationRequest] = []
    yield asked
    unregister_federation_provider("own")


async def test_an_environment_of_ones_own(
    own: list[FederationRequest], tmp_path: Path, emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered environment is called by its priority with the request, and may return None."""
    answers: list[str | None] = [emulator.external_issuer.mint(SUBJECT), None]

    def assertion(request: FederationRequest) -> str | None:
        own.append(request)
        return answers.pop(0)

    register_federation_provider(FederationProvider(name="own", assertion=assertion, priority=1))
    file = anyio.Path(tmp_path / "token")
    await file.write_text(emulator.external_issuer.mint(SUBJECT))
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    async with emulator.session() as session:
        await session.connect(federated(emulator, app, provider="OWN"))
        await session.connect(federated(emulator, app))

    assert federation_providers()[0].name == "own"
    assert [request.detecting for request in own] == [False, True]
    assert {(request.audience, request.client_id) for request in own} == {(AUDIENCE, app.client_id)}
    with pytest.raises(ConfigurationError, match="already"):
        register_federation_provider(FederationProvider(name="OWN", assertion=assertion))


async def test_an_environment_that_fails_stops_the_search(
    own: list[FederationRequest], emulator: Emulator, app: App
) -> None:
    """An environment that is detected but fails is the error: no other one is tried."""

    def assertion(_: FederationRequest) -> str:
        message = "the agent is down"
        raise OSError(message)

    register_federation_provider(FederationProvider(name="own", assertion=assertion, priority=1))
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="'own' failed with OSError: the agent is down"):
            await session.connect(federated(emulator, app))


async def test_each_cloud_has_its_own_audience(own: list[FederationRequest], emulator: Emulator, app: App) -> None:
    """The assertion is requested with the audience of the cloud that is signed in to."""

    async def assertion(request: FederationRequest) -> str:
        own.append(request)
        return "no.assertion"

    register_federation_provider(FederationProvider(name="own", assertion=assertion, priority=1))
    for cloud in CLOUDS.values():
        async with Session(cloud=cloud) as session:
            with pytest.raises(AuthenticationError, match="no JWT"):
                await session.connect(federated(emulator, app))

    assert [request.audience.removeprefix(AUDIENCE) for request in own] == ["", "USGov", "USGov", "China"]


@pytest.mark.parametrize("values", [{"name": "auto"}, {"name": ""}, {"assertion": "x"}, {"assertion": str}])
def test_bad_environments_are_refused(values: dict[str, Any]) -> None:
    """A federation provider needs a name of its own and a callable."""
    with pytest.raises(ConfigurationError):
        FederationProvider(**{"name": "own", "assertion": lambda _: None, **values})
    with pytest.raises(ConfigurationError, match="no federation provider"):
        unregister_federation_provider("nowhere")
