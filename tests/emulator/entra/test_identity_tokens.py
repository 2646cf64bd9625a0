"""What the emulated Entra ID issues, and that unmodified clients get it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import jwt
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import CertificateCredential, ClientSecretCredential
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from entra_async.testing import Emulator

GRAPH = "https://graph.microsoft.com/.default"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"


def secret_form(emulator: Emulator, **fields: str) -> dict[str, str]:
    """Return the form of a v2.0 request with a secret, for Graph unless *fields* say otherwise."""
    return {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": GRAPH,
        **fields,
    }


async def post_token(
    http: aiohttp.ClientSession, emulator: Emulator, form: dict[str, str], *, path: str = "oauth2/v2.0/token", **kw: Any
) -> dict[str, Any]:
    """Post the form to the tenant's token endpoint and return the response, which must be a success."""
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/{path}", data=form, **kw) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
        return body


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without judging it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_token_verifies_against_published_keys(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The token's signature, audience, issuer and times hold against the key set the metadata points to."""
    token = (await post_token(http, emulator, secret_form(emulator)))["access_token"]
    configuration_url = f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"
    async with http.get(configuration_url) as response:
        jwks_uri = (await response.json())["jwks_uri"]
    async with http.get(jwks_uri) as response:
        keys = jwt.PyJWKSet.from_dict(await response.json())

    header = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=["RS256"],
        audience="https://graph.microsoft.com",
        issuer=f"https://sts.windows.net/{emulator.tenant_id}/",
    )

    assert header["typ"] == "JWT"
    assert header["x5t"] == header["kid"]
    assert claims["oid"] == claims["sub"]
    assert claims["tid"] == emulator.tenant_id
    assert claims["appid"] == emulator.app.client_id
    assert (claims["appidacr"], claims["idtyp"], claims["ver"]) == ("1", "app", "1.0")
    assert "User.Read.All" in claims["roles"]
    assert "xms_cc" not in claims


async def test_v2_response_has_numbers_and_its_headers(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The v2.0 answer has numbers for times, nothing a user flow would add, and forbids being stored."""
    url = f"{emulator.authority}/{emulator.domain}/oauth2/v2.0/token"
    async with http.post(url, data=secret_form(emulator)) as response:
        body = await response.json()
    assert {name: body[name] for name in body if name != "access_token"} == {
        "token_type": "Bearer",
        "expires_in": 3599,
        "ext_expires_in": 3599,
    }
    assert response.headers["Cache-Control"] == "no-store, no-cache"
    assert response.headers["Pragma"] == "no-cache"
    assert response.headers["x-ms-request-id"]
    assert "Retry-After" not in response.headers


async def test_v1_response_has_texts(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The v1.0 answer writes its numbers as texts, dates five minutes back, and names the resource as asked."""
    form = secret_form(emulator, resource="https://management.core.windows.net/")
    body = await post_token(http, emulator, form, path="oauth2/token")
    assert body["expires_in"] == body["ext_expires_in"] == "3599"
    assert int(body["expires_on"]) - int(body["not_before"]) == 3599 + 300
    assert body["resource"] == "https://management.core.windows.net/"
    assert claims_of(body["access_token"])["aud"] == "https://management.core.windows.net/"


async def test_same_request_gives_another_token(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Two identical requests get two different tokens, so that a test can tell a cached one from a new one."""
    first = await post_token(http, emulator, secret_form(emulator))
    second = await post_token(http, emulator, secret_form(emulator))
    assert first["access_token"] != second["access_token"]


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        (GRAPH, "https://graph.microsoft.com"),
        (f"{GRAPH} openid profile offline_access", "https://graph.microsoft.com"),
        (f"{GRAPH_APP_ID}/.default", GRAPH_APP_ID),
        ("https://management.core.windows.net//.default", "https://management.core.windows.net/"),
        ("https://management.azure.com/.default", "https://management.azure.com"),
        ("https://vault.azure.net/.default", "https://vault.azure.net"),
        ("https://api.securitycenter.microsoft.com/.default", "https://api.securitycenter.microsoft.com"),
        ("https://api.security.microsoft.com/.default", "https://api.security.microsoft.com"),
        ("https://security.microsoft.com/mtp//.default", "https://security.microsoft.com/mtp/"),
    ],
)
async def test_audience_is_the_resource_as_requested(
    emulator: Emulator, http: aiohttp.ClientSession, scope: str, audience: str
) -> None:
    """The audience is the text before the last slash: a resource that ends in one needs two."""
    body = await post_token(http, emulator, secret_form(emulator, scope=scope))
    assert claims_of(body["access_token"])["aud"] == audience


async def test_roles_are_those_granted_for_the_resource(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A token lists the roles granted at its own resource; without any it is still issued, but has no such claim."""
    app = emulator.register_app(roles={"User.Read.All", "Machine.Read.All"})
    form = secret_form(emulator, client_id=app.client_id, client_secret=app.secret)
    graph = await post_token(http, emulator, form)
    vault = await post_token(http, emulator, form | {"scope": "https://vault.azure.net/.default"})
    assert claims_of(graph["access_token"])["roles"] == ["User.Read.All"]
    assert "roles" not in claims_of(vault["access_token"])


def test_role_no_api_defines_is_refused() -> None:
    """Granting a role that no API defines is a mistake in the test and says so."""
    from entra_async.testing import Emulator

    with pytest.raises(ValueError, match=r"User\.Raed\.All"):
        Emulator().register_app(roles={"User.Raed.All"})


async def test_client_that_handles_challenges_gets_a_long_token(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Declaring cp1, in any case, gives xms_cc and a day's lifetime; refresh_in comes when it was switched on."""
    emulator.token_lifetimes.refresh_in_s = 43199
    claims = '{"access_token":{"xms_cc":{"values":["CP1"]}}}'
    body = await post_token(http, emulator, secret_form(emulator, claims=claims))
    assert (body["expires_in"], body["refresh_in"]) == (86399, 43199)
    assert claims_of(body["access_token"])["xms_cc"] == ["cp1"]


@pytest.mark.parametrize("in_body", [True, False])
async def test_secret_may_come_as_basic(emulator: Emulator, http: aiohttp.ClientSession, *, in_body: bool) -> None:
    """HTTP Basic with form-encoded parts works in place of the body's credentials, with or without client_id there."""
    app = emulator.register_app(secret="p+ä:s %word")
    basic = base64.b64encode(f"{app.client_id}:p%2B%C3%A4%3As+%25word".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": GRAPH} | ({"client_id": app.client_id} if in_body else {})
    body = await post_token(http, emulator, form, headers={"Authorization": f"Basic {basic}"})
    assert claims_of(body["access_token"])["appid"] == app.client_id


async def test_telemetry_and_foreign_bearer_are_ignored(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Fields that SDKs add and the assertion EntraAuth repeats as a Bearer token do no harm."""
    form = secret_form(emulator, **{"x-client-SKU": "test", "client_info": "1", "client-request-id": "x"})
    assert await post_token(http, emulator, form, headers={"Authorization": "Bearer a.b.c"})


@pytest.fixture
def own_ca_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``verify=`` decide: requests prefers these variables to it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("own_ca_bundle")
async def test_msal_signs_in_with_secret(emulator: Emulator) -> None:
    """Unmodified MSAL gets a token with a secret."""
    response = await anyio.to_thread.run_sync(acquire_with_msal, emulator, lambda: emulator.app.secret)
    claims = claims_of(response["access_token"])
    assert (claims["appid"], claims["appidacr"]) == (emulator.app.client_id, "1")


@pytest.mark.usefixtures("own_ca_bundle")
@pytest.mark.parametrize("form", ["pfx (PS256, x5t#S256)", "thumbprint (RS256, x5t)"])
async def test_msal_signs_in_with_certificate(emulator: Emulator, form: str) -> None:
    """Unmodified MSAL gets a token with a certificate, in both of its ways to name and sign with it."""
    pfx = {"private_key_pfx_path": str(emulator.certificate_file), "passphrase": emulator.certificate_password}
    response = await anyio.to_thread.run_sync(
        acquire_with_msal,
        emulator,
        (lambda: pfx) if form.startswith("pfx") else (lambda: pem_with_thumbprint(emulator)),
    )
    claims = claims_of(response["access_token"])
    assert (claims["appid"], claims["appidacr"]) == (emulator.certificate_app.client_id, "2")


def acquire_with_msal(emulator: Emulator, credential: Callable[[], str | dict[str, str]]) -> dict[str, Any]:
    """Sign in with MSAL; blocks."""
    secret = credential()
    app = msal.ConfidentialClientApplication(
        (emulator.app if isinstance(secret, str) else emulator.certificate_app).client_id,
        authority=f"{emulator.authority}/{emulator.tenant_id}",
        client_credential=secret,
        instance_discovery=False,
        verify=str(emulator.ca_file),
    )
    try:
        response: dict[str, Any] = app.acquire_token_for_client([GRAPH])
    finally:
        app.http_client.close()
    assert "access_token" in response, response
    return response


def pem_with_thumbprint(emulator: Emulator) -> dict[str, str]:
    """Return the emulator's certificate as MSAL's older kind of credential; blocks."""
    password = emulator.certificate_password.encode()
    key, certificate, _ = pkcs12.load_key_and_certificates(emulator.certificate_file.read_bytes(), password)
    assert key is not None
    assert certificate is not None
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"private_key": pem, "thumbprint": certificate.fingerprint(hashes.SHA1()).hex()}


async def test_azure_identity_signs_in(emulator: Emulator) -> None:
    """Unmodified azure-identity (aio) gets tokens with a secret and, padded base64url and all, with a certificate."""
    pfx = await anyio.Path(emulator.certificate_file).read_bytes()
    with_secret = ClientSecretCredential(
        emulator.tenant_id,
        emulator.app.client_id,
        emulator.app.secret,
        authority=emulator.authority,
        disable_instance_discovery=True,
        transport=AioHttpTransport(connection_verify=str(emulator.ca_file)),
    )
    with_certificate = CertificateCredential(
        emulator.tenant_id,
        emulator.certificate_app.client_id,
        certificate_data=pfx,
        password=emulator.certificate_password,
        authority=emulator.authority,
        disable_instance_discovery=True,
        transport=AioHttpTransport(connection_verify=str(emulator.ca_file)),
    )
    async with with_secret, with_certificate:
        first = await with_secret.get_token(GRAPH)
        second = await with_certificate.get_token(GRAPH)
    assert claims_of(first.token)["appidacr"] == "1"
    assert claims_of(second.token)["appidacr"] == "2"
    assert abs(first.expires_on - emulator.clock.now() - 3599) < 10
