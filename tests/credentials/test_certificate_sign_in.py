"""Signing in with a certificate: from a file, bytes or objects, renewed without a restart, refused before any call."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from entra_async import Certificate
from entra_async.errors import ConfigurationError
from entra_async.testing import Emulator

PASSWORD = "hunter2-canary"
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Pair:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def public(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pem(self, password: str | None = None) -> bytes:
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.public + self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def make(key: rsa.RSAPrivateKey, *, ends: datetime = NOW + timedelta(days=30)) -> Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=60)).not_valid_after(ends)
    return Pair(key, builder.sign(key, hashes.SHA256()))


@pytest.fixture(scope="module")
def first() -> Pair:
    return make(rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="module")
def second() -> Pair:
    return make(rsa.generate_private_key(65537, 2048))


def ids(emulator: Emulator, *pairs: Pair) -> dict[str, Any]:
    app = emulator.register_app(certificate_pem=b"".join(pair.public for pair in pairs))
    return {"client_id": app.client_id, "tenant_id": emulator.tenant_id}


async def test_objects_and_bytes_sign_in(first: Pair, second: Pair, emulator: Emulator) -> None:
    """Objects of the cryptography library and the bytes of a file sign in; a key that is not its own is refused."""
    app = ids(emulator, first)
    async with emulator.session() as session:
        await session.connect(Certificate(**app, certificate=first.certificate, private_key=first.key))
        await session.connect(**app, certificate=first.certificate, private_key=first.key, service="Endpoint")
        await session.connect(**app, certificate_data=first.pem(PASSWORD), certificate_password=PASSWORD, send_x5c=True)
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(Certificate(**app, certificate=first.certificate, private_key=second.key))

    assert caught.value.field == "private_key"
    assert len(emulator.token_requests) == 3


async def test_a_renewed_file_is_taken_up(first: Pair, second: Pair, tmp_path: Path, emulator: Emulator) -> None:
    """The file is read again when the token is renewed: rotation needs no restart."""
    file = anyio.Path(tmp_path / "app.pem")
    await file.write_bytes(first.pem())
    app = emulator.register_app(certificate_pem=first.public + second.public)
    async with emulator.session() as session:
        await session.connect(Certificate(client_id=app.client_id, tenant_id=emulator.tenant_id, path=file))
        app.certificates.pop(0)
        await file.write_bytes(second.pem())
        emulator.clock.move(29 * 3600)
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    assert len(emulator.token_requests) == 2


async def test_a_bad_file_is_refused_before_any_call(
    first: Pair, second: Pair, tmp_path: Path, emulator: Emulator
) -> None:
    """A wrong password, a missing or foreign key, an expired certificate: told by field, and nothing is sent."""
    old = make(first.key, ends=NOW - timedelta(days=1))
    files = {
        "wrong password": (first.pem("another"), "certificate_password"),
        "no key": (first.public, "certificate_path"),
        "foreign key": (first.pem().replace(first.public, second.public), "certificate_path"),
        "expired": (old.pem(), "certificate_path"),
        "nothing": (b"", "certificate_path"),
    }
    app = ids(emulator, first)
    async with emulator.session() as session:
        for name, (content, field) in files.items():
            await anyio.Path(tmp_path / name).write_bytes(content)
            with pytest.raises(ConfigurationError) as caught:
                await session.connect(**app, certificate_path=tmp_path / name, certificate_password=PASSWORD)
            assert caught.value.field in {field, field.removeprefix("certificate_")}
            assert caught.value.hint
            assert PASSWORD not in f"{caught.value}{vars(caught.value)}"
        with pytest.raises(ConfigurationError):
            await session.connect(**app, certificate_path=tmp_path / "missing.pfx")

    assert not emulator.requests


async def test_an_unchanged_file_is_not_decrypted_again(first: Pair, tmp_path: Path, emulator: Emulator) -> None:
    """A file that has not changed costs no new decryption, but its expiry is still noticed."""
    file = anyio.Path(tmp_path / "app.pem")
    certificate = make(first.key)
    await file.write_bytes(certificate.pem(PASSWORD))
    app = ids(emulator, certificate)
    async with emulator.session() as session:
        connection = await session.connect(**app, certificate_path=file, certificate_password=PASSWORD)
        emulator.clock.move(29 * 3600)
        await connection.get_token()
        emulator.clock.move(31 * 24 * 3600)
        with pytest.raises(ConfigurationError, match="expired"):
            await connection.get_token()

    assert len(emulator.token_requests) == 2


def test_a_certificate_provider_is_a_plain_value(first: Pair) -> None:
    """It compares, hashes and pickles, and its repr shows neither key nor password."""
    provider = Certificate(
        client_id="11111111-1111-1111-1111-111111111111",
        tenant_id="contoso.com",
        data=first.pem(PASSWORD),
        password=PASSWORD,
    )

    assert pickle.loads(pickle.dumps(provider)) == provider
    assert hash(provider) == hash(pickle.loads(pickle.dumps(provider)))
    assert PASSWORD not in repr(provider)
    assert "data" not in repr(provider)
