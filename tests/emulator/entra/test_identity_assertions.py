"""How the emulated Entra ID judges the JWT an app signs with its certificate."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from cryptography import x509

    from entra_async.testing import Emulator

ALGORITHMS: dict[str, padding.AsymmetricPadding] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32),
}


def base64url(data: bytes) -> str:
    """Return *data* in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A client that signs assertions with the emulator's certificate, right or wrong."""

    def __init__(self, emulator: Emulator, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate
        self.emulator = emulator
        self.client_id = emulator.certificate_app.client_id
        self.url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"

    @property
    def claims(self) -> dict[str, Any]:
        """Claims that are accepted."""
        now = self.emulator.clock.now()
        names = {"aud": self.url, "iss": self.client_id, "sub": self.client_id, "jti": str(uuid.uuid4())}
        return {**names, "nbf": int(now), "exp": int(now) + 300}

    @property
    def header(self) -> dict[str, Any]:
        """A header that is accepted."""
        return {"alg": "PS256", "typ": "JWT", "x5t#S256": base64url(self.certificate.fingerprint(hashes.SHA256()))}

    def sign(
        self,
        *,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        key: rsa.RSAPrivateKey | None = None,
        encode: Callable[[bytes], str] = base64url,
    ) -> str:
        """Return an assertion; a value of None removes a header or claim."""
        headers = {name: value for name, value in {**self.header, **(header or {})}.items() if value is not None}
        payload = {name: value for name, value in {**self.claims, **(claims or {})}.items() if value is not None}
        signed = f"{encode(json.dumps(headers).encode())}.{encode(json.dumps(payload).encode())}"
        scheme = ALGORITHMS.get(str(headers.get("alg")), padding.PKCS1v15())
        return f"{signed}.{base64url((key or self.key).sign(signed.encode(), scheme, hashes.SHA256()))}"

    async def sign_in(
        self, http: aiohttp.ClientSession, assertion: str, **fields: str
    ) -> tuple[int, str | None, int | None]:
        """Post the assertion; return status, error and AADSTS code, the latter two None on success."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion": assertion,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "scope": "https://graph.microsoft.com/.default",
            **fields,
        }
        async with http.post(self.url, data=form) as response:
            body = await response.json()
            return response.status, body.get("error"), body.get("error_codes", [None])[0]


@pytest.fixture
async def signer(emulator: Emulator) -> Signer:
    """Return a client that holds the emulator's certificate."""

    def load() -> Signer:
        password = emulator.certificate_password.encode()
        key, certificate, _ = pkcs12.load_key_and_certificates(emulator.certificate_file.read_bytes(), password)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert certificate is not None
        return Signer(emulator, key, certificate)

    return await anyio.to_thread.run_sync(load)


ACCEPTED = (200, None, None)


async def test_both_algorithms_and_thumbprints_are_accepted(signer: Signer, http: aiohttp.ClientSession) -> None:
    """PS256 and RS256 go with x5t#S256 and with the older x5t."""
    sha1 = base64url(signer.certificate.fingerprint(hashes.SHA1()))
    for header in (
        {},
        {"alg": "RS256"},
        {"x5t#S256": None, "x5t": sha1},
        {"alg": "RS256", "x5t#S256": None, "x5t": sha1},
    ):
        assert await signer.sign_in(http, signer.sign(header=header)) == ACCEPTED


async def test_encodings_of_real_clients_are_accepted(signer: Signer, http: aiohttp.ClientSession) -> None:
    """Padded base64url (azure-identity), standard base64 (EntraAuth), times as fractions and no nbf (MSAL) are fine."""
    padded = signer.sign(encode=lambda data: base64.urlsafe_b64encode(data).decode())
    # The text needs bytes that the two alphabets write differently.
    standard = signer.sign(
        encode=lambda data: base64.b64encode(data).decode(), claims={"jti": "ÿþ>>>???~~~", "extra": "?>?>?>~~~"}
    )
    now = signer.emulator.clock.now()
    msal = signer.sign(claims={"nbf": None, "iat": now, "exp": now + 600.5})
    for assertion in (padded, standard, msal):
        assert await signer.sign_in(http, assertion) == ACCEPTED


async def test_assertion_may_be_used_again(signer: Signer, http: aiohttp.ClientSession) -> None:
    """The same assertion works until it expires, as MSAL needs, and not a second longer."""
    assertion = signer.sign()
    assert await signer.sign_in(http, assertion) == ACCEPTED
    assert await signer.sign_in(http, assertion) == ACCEPTED
    signer.emulator.clock.move(301)
    assert await signer.sign_in(http, assertion) == (401, "invalid_client", 700024)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": None}, (400, "invalid_request", 50027)),
        ({"aud": "https://login.microsoftonline.com/common/oauth2/v2.0/token"}, (401, "invalid_client", 700023)),
        ({"iss": None}, (400, "invalid_request", 50027)),
        ({"iss": "somebody"}, (401, "invalid_client", 50048)),
        ({"sub": None}, (400, "invalid_request", 50027)),
        ({"sub": "somebody"}, (401, "invalid_client", 50048)),
        ({"iss": "somebody", "sub": "somebody"}, (401, "invalid_client", 700021)),
        ({"jti": None}, (400, "invalid_request", 50027)),
        ({"exp": None}, (400, "invalid_request", 50027)),
        ({"exp": "soon"}, (400, "invalid_request", 50027)),
        ({"exp": True}, (400, "invalid_request", 50027)),
        ({"exp": 1e300}, (400, "invalid_request", 50027)),
        ({"exp": 1_600_000_000}, (401, "invalid_client", 700024)),
        ({"nbf": None}, (400, "invalid_request", 50027)),
        ({"nbf": 9_999_999_999}, (401, "invalid_client", 700024)),
        ({"iat": 9_999_999_999}, (401, "invalid_client", 700024)),
    ],
)
async def test_wrong_claim_is_refused(
    signer: Signer, http: aiohttp.ClientSession, claims: dict[str, Any], expected: tuple[int, str, int]
) -> None:
    """Each claim that is missing or wrong is refused with the code for it."""
    assert await signer.sign_in(http, signer.sign(claims=claims)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"alg": "none"}, (400, "invalid_request", 5002730)),
        ({"alg": "HS256"}, (400, "invalid_request", 5002730)),
        ({"alg": None}, (400, "invalid_request", 5002730)),
        ({"alg": []}, (400, "invalid_request", 5002730)),
        ({"alg": {}}, (400, "invalid_request", 5002730)),
        ({"alg": 256}, (400, "invalid_request", 5002730)),
        ({"crit": ["b64"], "b64": False}, (400, "invalid_request", 5002730)),
        ({"typ": "at+jwt"}, (400, "invalid_request", 5002730)),
        ({"typ": ["JWT"]}, (400, "invalid_request", 5002730)),
        ({"x5t#S256": None}, (400, "invalid_request", 5002730)),
        ({"x5t#S256": "AAAA"}, (401, "invalid_client", 700027)),
        ({"x5t#S256": 7}, (401, "invalid_client", 700027)),
        ({"x5t": "AAAA"}, (401, "invalid_client", 700027)),
    ],
)
async def test_wrong_header_is_refused(
    signer: Signer, http: aiohttp.ClientSession, header: dict[str, Any], expected: tuple[int, str, int]
) -> None:
    """An algorithm that is not allowed, no thumbprint, or one of an unknown certificate is refused."""
    assert await signer.sign_in(http, signer.sign(header=header)) == expected


async def test_assertion_must_end_after_it_begins(signer: Signer, http: aiohttp.ClientSession) -> None:
    """An assertion that ends before it begins was never valid, also where the clocks' tolerance covers both."""
    now = int(signer.emulator.clock.now())
    assert await signer.sign_in(http, signer.sign(claims={"nbf": now + 200, "exp": now + 250})) == ACCEPTED
    refused = await signer.sign_in(http, signer.sign(claims={"nbf": now + 200, "exp": now + 200}))
    assert refused == (401, "invalid_client", 700024)


async def test_type_may_be_missing_or_small(signer: Signer, http: aiohttp.ClientSession) -> None:
    """The type is optional, and its letters' case does not matter."""
    for kind in (None, "jwt"):
        assert await signer.sign_in(http, signer.sign(header={"typ": kind})) == ACCEPTED


async def test_forged_signature_is_refused(signer: Signer, http: aiohttp.ClientSession) -> None:
    """Another key, a changed claim, and a signature of the other algorithm are all refused."""
    other = await anyio.to_thread.run_sync(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))
    header, claims, signature = signer.sign().split(".")
    changed = base64url(json.dumps({**signer.claims, "admin": True}).encode())
    renamed = base64url(json.dumps({**signer.header, "alg": "RS256"}).encode())
    for assertion in (
        signer.sign(key=other),
        f"{header}.{changed}.{signature}",
        f"{renamed}.{claims}.{signature}",
        f"{header}.{claims}.",
    ):
        assert await signer.sign_in(http, assertion) == (401, "invalid_client", 700027)


@pytest.mark.parametrize("assertion", ["a", "a.b", "a.b.c.d", "e30.e30", "ä.ä.ä", "W10.e30.AA", "e30.e30.!"])
async def test_malformed_assertion_is_refused(signer: Signer, http: aiohttp.ClientSession, assertion: str) -> None:
    """What is no JWT at all is refused as a malformed request."""
    status, error, code = await signer.sign_in(http, assertion)
    assert (status, error) == (400, "invalid_request")
    assert code in {50027, 5002730}


async def test_certificate_of_another_app_is_refused(signer: Signer, http: aiohttp.ClientSession) -> None:
    """A certificate proves who one app is, not another, until it is registered there as well."""
    app = signer.emulator.register_app()
    claims = {"iss": app.client_id, "sub": app.client_id}
    refused = await signer.sign_in(http, signer.sign(claims=claims), client_id=app.client_id)
    assert refused == (401, "invalid_client", 700027)

    app = signer.emulator.register_app(certificate_pem=signer.certificate.public_bytes(Encoding.PEM))
    claims = {"iss": app.client_id, "sub": app.client_id}
    assert await signer.sign_in(http, signer.sign(claims=claims), client_id=app.client_id) == ACCEPTED


async def test_audience_is_the_url_called(signer: Signer, http: aiohttp.ClientSession) -> None:
    """An assertion for the tenant by GUID is refused at the same tenant by domain, and at v1.0."""
    assertion = signer.sign()
    signer.url = f"{signer.emulator.authority}/{signer.emulator.domain}/oauth2/v2.0/token"
    assert await signer.sign_in(http, assertion) == (401, "invalid_client", 700023)
    assert await signer.sign_in(http, signer.sign()) == ACCEPTED


async def test_certificate_expires(signer: Signer, http: aiohttp.ClientSession) -> None:
    """Once the clock has passed the certificate's end, it is refused; before, its token says how the app signed in."""
    signer.emulator.clock.move(300 * 86400)
    assert await signer.sign_in(http, signer.sign()) == ACCEPTED
    signer.emulator.clock.move(66 * 86400)
    assert await signer.sign_in(http, signer.sign()) == (401, "invalid_client", 700027)


async def test_registration_can_be_withdrawn(signer: Signer, http: aiohttp.ClientSession) -> None:
    """Removing the certificate from the app takes effect at the next request."""
    signer.emulator.certificate_app.certificates.clear()
    assert await signer.sign_in(http, signer.sign()) == (401, "invalid_client", 700027)


async def test_pyjwt_can_sign_one(signer: Signer, http: aiohttp.ClientSession) -> None:
    """An assertion made by an independent JWT library is accepted."""
    headers = {name: value for name, value in signer.header.items() if name != "alg"}
    assertion = jwt.encode(signer.claims, signer.key, algorithm="PS256", headers=headers)
    assert await signer.sign_in(http, assertion) == ACCEPTED
