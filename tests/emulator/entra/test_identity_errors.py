"""Every way the emulated Entra ID refuses a request: status, OAuth error and AADSTS code."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator

GRAPH = "https://graph.microsoft.com/.default"
TOKEN = "/{tenant}/oauth2/v2.0/token"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


# What changes in a good request (None removes a field) → what comes back.
REFUSALS: dict[str, tuple[dict[str, str | None], tuple[int, str, int]]] = {
    "no grant type": ({"grant_type": None}, (400, "invalid_request", 900144)),
    "unknown grant type": ({"grant_type": "token"}, (400, "unsupported_grant_type", 70003)),
    "no client id": ({"client_id": None}, (400, "invalid_request", 900144)),
    "unknown app": ({"client_id": str(uuid.uuid4())}, (400, "unauthorized_client", 700016)),
    "client id is no GUID": ({"client_id": "app"}, (400, "unauthorized_client", 700016)),
    "no credential": ({"client_secret": None}, (401, "invalid_client", 7000218)),
    "empty credential": ({"client_secret": ""}, (401, "invalid_client", 7000218)),
    "wrong secret": ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
    "secret and assertion": ({"client_assertion": "a.b.c"}, (400, "invalid_request", 9002313)),
    "assertion without type": (
        {"client_secret": None, "client_assertion": "a.b.c"},
        (400, "invalid_request", 900144),
    ),
    "assertion of another type": (
        {"client_secret": None, "client_assertion": "a.b.c", "client_assertion_type": "saml2-bearer"},
        (400, "invalid_request", 9002313),
    ),
    "malformed assertion": (
        {"client_secret": None, "client_assertion": "a.b.c", "client_assertion_type": JWT_BEARER},
        (400, "invalid_request", 50027),
    ),
    "no scope": ({"scope": None}, (400, "invalid_request", 900144)),
    "named scope": ({"scope": "https://graph.microsoft.com/User.Read"}, (400, "invalid_scope", 1002012)),
    "named scope without resource": ({"scope": "User.Read"}, (400, "invalid_scope", 1002012)),
    "no resource": ({"scope": ".default"}, (400, "invalid_scope", 1002012)),
    "only OpenID scopes": ({"scope": "openid profile"}, (400, "invalid_scope", 700023)),
    ".default and a named scope": (
        {"scope": f"{GRAPH} https://graph.microsoft.com/User.Read"},
        (400, "invalid_scope", 70011),
    ),
    "two resources": ({"scope": f"{GRAPH} https://vault.azure.net/.default"}, (400, "invalid_scope", 700022)),
    "unknown resource": ({"scope": "https://unknown.example/.default"}, (400, "invalid_resource", 500011)),
    "resource on v2.0": ({"resource": "https://graph.microsoft.com"}, (400, "invalid_request", 901002)),
    "assertion type without assertion": ({"client_assertion_type": JWT_BEARER}, (400, "invalid_request", 900144)),
    "code": ({"code": "0.A"}, (400, "invalid_request", 9002313)),
    "redirect URI": ({"redirect_uri": "https://app.example"}, (400, "invalid_request", 9002313)),
    "code verifier": ({"code_verifier": "v" * 43}, (400, "invalid_request", 9002313)),
    "refresh token": ({"refresh_token": "0.A"}, (400, "invalid_request", 9002313)),
    "device code": ({"device_code": "d"}, (400, "invalid_request", 9002313)),
    "user name": ({"username": "ada@contoso.com"}, (400, "invalid_request", 9002313)),
    "password": ({"password": "p"}, (400, "invalid_request", 9002313)),
    "assertion": ({"assertion": "a.b.c"}, (400, "invalid_request", 9002313)),
    "on behalf of": ({"requested_token_use": "on_behalf_of"}, (400, "invalid_request", 9002313)),
    "claims are not JSON": ({"claims": "{"}, (400, "invalid_request", 9002313)),
    "claims are not an object": ({"claims": "[]"}, (400, "invalid_request", 9002313)),
}


def good_form(emulator: Emulator) -> dict[str, str]:
    """Return a form that is answered with a token."""
    return {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": GRAPH,
    }


async def post(
    http: aiohttp.ClientSession, emulator: Emulator, *, path: str = TOKEN, tenant: str | None = None, **options: Any
) -> tuple[int, str, int]:
    """Post to the token endpoint; return status, error and the number of the AADSTS code."""
    options.setdefault("data", good_form(emulator))
    url = emulator.authority + path.format(tenant=tenant or emulator.tenant_id)
    async with http.post(url, **options) as response:
        body = await response.json()
        assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
        return response.status, body["error"], body["error_codes"][0]


@pytest.mark.parametrize("case", REFUSALS)
async def test_bad_form_is_refused(emulator: Emulator, http: aiohttp.ClientSession, case: str) -> None:
    """A request that is wrong in one respect is refused for just that."""
    changes, expected = REFUSALS[case]
    form = {name: value for name, value in {**good_form(emulator), **changes}.items() if value is not None}
    assert await post(http, emulator, data=form) == expected


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        ("fabrikam.com", (400, "invalid_request", 90002)),
        ("00000000-0000-0000-0000-000000000001", (400, "invalid_request", 90002)),
        ("common", (400, "invalid_request", 50059)),
        ("organizations", (400, "invalid_request", 50059)),
        ("consumers", (400, "invalid_request", 9001023)),
        ("9188040d-6c67-4c5b-b112-36a304b66dad", (400, "invalid_request", 9001023)),
    ],
)
async def test_tenant_that_cannot_be_meant_is_refused(
    emulator: Emulator, http: aiohttp.ClientSession, tenant: str, expected: tuple[int, str, int]
) -> None:
    """An unknown tenant is refused, and so is an alias: an app without a user belongs to one tenant."""
    assert await post(http, emulator, tenant=tenant) == expected


async def test_state_of_the_app_is_refused(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """An expired secret, a disabled app and a public client are each refused with their own code."""
    now = emulator.clock.now()
    expired = emulator.register_app(secret="s", secret_expires_on=now - 1)
    disabled = emulator.register_app(disabled=True)
    public = emulator.register_app(public_client=True)

    form = good_form(emulator)
    wrong = [
        form | {"client_id": expired.client_id, "client_secret": "s"},
        form | {"client_id": disabled.client_id, "client_secret": disabled.secret},
        form | {"client_id": public.client_id, "client_secret": "s"},
        form | {"client_id": public.client_id, "client_secret": ""},
    ]
    assert [await post(http, emulator, data=data) for data in wrong] == [
        (401, "invalid_client", 7000222),
        (400, "unauthorized_client", 7000112),
        (401, "invalid_client", 700025),
        (401, "invalid_client", 7000218),
    ]


async def test_secret_expires_when_the_clock_moves(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A secret is good until its last second and refused after it, and a new one beside it works at once."""
    app = emulator.register_app(secret="old", secret_expires_on=emulator.clock.now() + 3600)
    form = good_form(emulator) | {"client_id": app.client_id}
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    async with http.post(url, data=form | {"client_secret": "old"}) as response:
        assert response.status == 200
    emulator.clock.move(3600)
    assert await post(http, emulator, data=form | {"client_secret": "old"}) == (401, "invalid_client", 7000222)
    async with http.post(url, data=form | {"client_secret": app.add_secret()}) as response:
        assert response.status == 200


async def test_wrong_shape_of_request_is_refused(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A body that is no form, a field given twice, bytes that are no text, and a browser's Origin are refused."""
    form = good_form(emulator)
    encoded = "application/x-www-form-urlencoded"
    assert await post(http, emulator, data=None, json=form) == (400, "invalid_request", 900144)
    assert await post(http, emulator, data=[*form.items(), ("scope", GRAPH)]) == (400, "invalid_request", 9002313)
    refused = await post(http, emulator, data=b"grant_type=\xff", headers={"Content-Type": encoded})
    assert refused == (400, "invalid_request", 9002313)
    refused = await post(http, emulator, headers={"Origin": "https://app.example"})
    assert refused == (400, "invalid_request", 9002326)


@pytest.mark.parametrize("credentials", ["no colon", "%%%", "other:secret"])
async def test_wrong_basic_is_refused(emulator: Emulator, http: aiohttp.ClientSession, credentials: str) -> None:
    """An Authorization header that is no Basic credential, or names another app than the body, is refused."""
    text = credentials if credentials == "%%%" else base64.b64encode(credentials.encode()).decode()
    form = {name: value for name, value in good_form(emulator).items() if name != "client_secret"}
    refused = await post(http, emulator, data=form, headers={"Authorization": f"Basic {text}"})
    assert refused == (400, "invalid_request", 9002313)


async def test_v1_needs_a_resource(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The v1.0 endpoint takes a resource, not a scope."""
    assert await post(http, emulator, path="/{tenant}/oauth2/token") == (400, "invalid_request", 900144)


async def test_get_is_refused(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A GET of the token endpoint is refused in Entra ID's own words."""
    async with http.get(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token") as response:
        body = await response.json()
    assert (response.status, body["error"], body["error_codes"]) == (400, "invalid_request", [900561])


async def test_unknown_path_is_not_found(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A path nothing is served at is 404."""
    async with http.get(f"{emulator.authority}/{emulator.tenant_id}/nothing") as response:
        assert response.status == 404


async def test_error_body_has_the_ids_for_support(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The body repeats the request's correlation id, the trace id of the headers, and the emulator's time."""
    emulator.clock.move(400 * 86400)
    correlation_id = str(uuid.uuid4())
    async with http.post(
        f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token",
        data=good_form(emulator) | {"client_secret": "wrong"},
        headers={"client-request-id": correlation_id},
    ) as response:
        body = await response.json()
    assert body["correlation_id"] == correlation_id
    assert body["trace_id"] == response.headers["x-ms-request-id"]
    assert body["error_uri"] == f"{emulator.authority}/error?code=7000215"
    assert body["error_codes"] == [7000215]
    lines = body["error_description"].split("\r\n")
    assert lines[1:] == [
        f"Trace ID: {body['trace_id']}",
        f"Correlation ID: {correlation_id}",
        f"Timestamp: {body['timestamp']}",
    ]
    assert response.headers["Cache-Control"] == "no-store, no-cache"
    assert "Retry-After" not in response.headers
