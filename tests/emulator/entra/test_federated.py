"""Signing an app in at the emulated Entra ID with the token of another issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread
import jwt
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientAssertionCredential
from cryptography.hazmat.primitives.asymmetric import rsa

from entra_async.testing.entra.app_registrations import FederatedCredential
from tests.emulator.support.relying_party import RelyingParty

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from entra_async.testing.entra.app_registrations import App
    from tests.emulator.support.relying_party import ErrorSummary

GRAPH = "https://graph.microsoft.com/.default"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SUBJECT = "repo:contoso/app:ref:refs/heads/main"
EXCHANGE = "api://AzureADTokenExchange"
_UNAUTHORIZED = (401, "invalid_client")

# What is changed in a good assertion → what is answered.
ASSERTIONS: dict[str, tuple[dict[str, Any], ErrorSummary]] = {
    "another subject": ({"sub": "repo:contoso/app:pull_request"}, (*_UNAUTHORIZED, 700213)),
    "subject in other letters": ({"sub": SUBJECT.upper()}, (*_UNAUTHORIZED, 700213)),
    "another audience": ({"aud": "https://github.com/contoso"}, (*_UNAUTHORIZED, 700212)),
    "two audiences": ({"aud": [EXCHANGE, "b"]}, (*_UNAUTHORIZED, 700212)),
    "another issuer": ({"iss": "https://token.example"}, (*_UNAUTHORIZED, 700211)),
    "expired": ({"exp": 1}, (*_UNAUTHORIZED, 700024)),
    "without end": ({"exp": None}, (400, "invalid_request", 50027)),
    "not yet valid": ({"nbf": 99999999999, "exp": 99999999999}, (*_UNAUTHORIZED, 700024)),
}


@pytest.fixture
def app(emulator: Emulator) -> App:
    """Return an app that trusts the external issuer for one subject, and has no secret."""
    credential = FederatedCredential(issuer=emulator.external_issuer.issuer, subject=SUBJECT)
    return emulator.register_app(federated_credentials=[credential])


@pytest.fixture
def party(emulator: Emulator, http: aiohttp.ClientSession, app: App) -> RelyingParty:
    """Return the app, at its own tenant."""
    return RelyingParty(emulator, http, app, tenant=emulator.tenant_id)


def form_for(app: App, assertion: str) -> dict[str, str]:
    """Return a client-credentials form with the assertion."""
    return {
        "grant_type": "client_credentials",
        "client_id": app.client_id,
        "client_assertion_type": JWT_BEARER,
        "client_assertion": assertion,
        "scope": GRAPH,
    }


async def test_token_of_another_issuer_signs_in(emulator: Emulator, party: RelyingParty, app: App) -> None:
    """A token of the trusted issuer, subject and audience signs the app in; the issuer's keys are fetched from it."""
    body = await party.tokens(form_for(app, emulator.external_issuer.mint(SUBJECT)))
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (claims["appid"], claims["appidacr"], claims["idtyp"]) == (app.client_id, "2", "app")
    paths = [request.path for request in emulator.requests.matching(service="external_issuer")]
    assert paths == ["/.well-known/openid-configuration", "/keys"]
    assert await party.tokens(form_for(app, emulator.external_issuer.mint(SUBJECT, aud=[EXCHANGE])))


@pytest.mark.parametrize("case", ASSERTIONS)
async def test_bad_assertion_is_refused(emulator: Emulator, party: RelyingParty, app: App, case: str) -> None:
    """Issuer, subject and audience must match letter by letter, and the token must be valid now."""
    changes, expected = ASSERTIONS[case]
    assert await party.error(form_for(app, emulator.external_issuer.mint(SUBJECT, **changes))) == expected


async def test_app_without_federated_credential_is_refused(emulator: Emulator, party: RelyingParty) -> None:
    """An app that trusts nobody takes no foreign token."""
    form = form_for(emulator.app, emulator.external_issuer.mint(SUBJECT))
    assert await party.error(form) == (401, "invalid_client", 70021)


async def test_forged_assertion_is_refused(emulator: Emulator, party: RelyingParty, app: App) -> None:
    """A key the issuer doesn't publish, or another one under its name, signs nobody in."""
    good = emulator.external_issuer.mint(SUBJECT)
    claims = jwt.decode(good, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for headers in (None, {"kid": "other"}, {"kid": jwt.get_unverified_header(good)["kid"]}):
        forged = jwt.encode(claims, key, algorithm="RS256", headers=headers)
        assert await party.error(form_for(app, forged)) == (401, "invalid_client", 700027)
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "a"})
    assert (await party.error(form_for(app, unsigned)))[2] == 700027


async def test_issuer_that_cannot_be_reached(emulator: Emulator, party: RelyingParty, app: App) -> None:
    """An issuer that is down, or says it is another one, signs nobody in."""
    assertion = emulator.external_issuer.mint(SUBJECT)
    emulator.faults.add("/keys", service="external_issuer", status=500)
    assert await party.error(form_for(app, assertion)) == (401, "invalid_client", 90061)
    emulator.faults.add("/.well-known/*", service="external_issuer", reset="before", times=2)  # aiohttp asks twice
    assert await party.error(form_for(app, assertion)) == (401, "invalid_client", 90061)
    wrong = {"issuer": "https://other.example", "jwks_uri": f"{emulator.external_issuer.issuer}/keys"}
    emulator.faults.add("/.well-known/*", service="external_issuer", status=200, body=wrong)
    assert await party.error(form_for(app, assertion)) == (401, "invalid_client", 90061)
    assert await party.tokens(form_for(app, assertion))


async def test_managed_identity_signs_another_app_in(
    emulator: Emulator, http: aiohttp.ClientSession, party: RelyingParty
) -> None:
    """A token of this tenant for the token exchange serves as the assertion, if an app holds it and not a user."""
    issuer = f"{emulator.authority}/{emulator.tenant_id}/v2.0"
    identity = emulator.app
    trusting = emulator.register_app(
        federated_credentials=[FederatedCredential(issuer=issuer, subject=identity.object_id)]
    )
    form = {
        "grant_type": "client_credentials",
        "client_id": identity.client_id,
        "client_secret": identity.secret,
        "scope": f"{EXCHANGE}/.default",
    }
    assertion = (await party.tokens(form))["access_token"]
    assert await party.tokens(form_for(trusting, assertion))

    api = emulator.register_app(exposes=["access_as_user"], redirect_uris=["http://localhost"], public_client=True)
    user = RelyingParty(emulator, http, api)
    scope = f"{api.identifier_uri}/access_as_user"
    code = await user.code(scope=scope)
    token = (await user.tokens(user.code_form(code, scope=scope)))["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    trusting.federated_credentials.append(
        FederatedCredential(issuer=issuer, subject=claims["sub"], audience=claims["aud"])
    )
    assert await party.error(form_for(trusting, token)) == (401, "invalid_client", 700229)
    head, payload, _ = assertion.split(".")
    assert (await party.error(form_for(trusting, f"{head}.{payload}.AAAA")))[2] == 700027


async def test_unmodified_clients_sign_in(emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """MSAL and azure-identity sign in with an assertion of the external issuer."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def with_msal() -> dict[str, Any]:
        client = msal.ConfidentialClientApplication(
            app.client_id,
            authority=f"{emulator.authority}/{emulator.tenant_id}",
            client_credential={"client_assertion": lambda: emulator.external_issuer.mint(SUBJECT)},
            instance_discovery=False,
            verify=str(emulator.ca_file),
        )
        try:
            body: dict[str, Any] = client.acquire_token_for_client([GRAPH])
        finally:
            client.http_client.close()
        return body

    assert "access_token" in await anyio.to_thread.run_sync(with_msal)
    credential = ClientAssertionCredential(
        emulator.tenant_id,
        app.client_id,
        lambda: emulator.external_issuer.mint(SUBJECT),
        authority=emulator.authority,
        disable_instance_discovery=True,
        transport=AioHttpTransport(connection_verify=str(emulator.ca_file)),
    )
    async with credential:
        assert (await credential.get_token(GRAPH)).token
