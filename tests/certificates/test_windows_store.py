r"""
Certificates of Windows' stores, through a fake of its DLLs that is a real C boundary and counts every handle.

It is driven by real keys, so that what it signs is judged by the emulator. Windows itself was not tried.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from entra_async import Certificate
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.testing import Emulator
from tests.support.certificate_pairs import DAY, NOW, app_of, make, rsa_key
from tests.support.fake_crypto_api import Entry, FakeWindows, entry

IDS: dict[str, Any] = {"client_id": "11111111-1111-1111-1111-111111111111", "tenant_id": "contoso.com"}
APP = make()
CURRENT_USER, LOCAL_MACHINE = 0x00010000, 0x00020000


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWindows]:
    """Yield a Windows whose handles are all freed exactly once, whatever the test does."""
    fake = FakeWindows()
    fake.install(monkeypatch)
    yield fake
    fake.check_clean()


async def refusal(emulator: Emulator, kind: type[Any] = ConfigurationError, **given: Any) -> str:
    """Return what the error says that connecting raises; nothing was sent."""
    async with emulator.session() as session:
        with pytest.raises(kind) as caught:
            await session.connect(Certificate(**IDS, **given))
    assert caught.value.hint
    assert not emulator.requests
    return str(caught.value)


@pytest.mark.parametrize("wanted", [{"thumbprint": APP.thumbprint.lower()}, {"name": "APP"}, {"name": "CN=app"}])
@pytest.mark.parametrize("store", ["current_user", "local_machine"])
@pytest.mark.parametrize("cached", [False, True])
async def test_a_key_signs_where_it_is(
    windows: FakeWindows, emulator: Emulator, wanted: dict[str, Any], store: str, cached: bool
) -> None:
    """By thumbprint or name, from either store, the key signs inside Windows; it is never exported."""
    getattr(windows, store).extend([entry(make("CN=other", key=1)), entry(APP, cached=cached)])
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), **wanted))

    assert len(emulator.token_requests) == 1
    assert windows.calls.count("NCryptSignHash") == 2  # for the size, and for the signature
    assert windows.calls.count("NCryptFreeObject") == (0 if cached else 1)


async def test_the_users_store_comes_first(windows: FakeWindows, emulator: Emulator) -> None:
    """A usable certificate of the user's wins over a newer one of the machine's; the newest of a store wins in it."""
    windows.current_user += [entry(make(end=NOW + DAY)), entry(APP), entry(make(key=1, end=NOW - DAY))]
    windows.local_machine += [entry(make(key=1, end=NOW + 99 * DAY))]
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), name="app", send_x5c=True))

    assert len(emulator.token_requests) == 1


async def test_a_newer_certificate_is_taken_up(windows: FakeWindows, emulator: Emulator) -> None:
    """The store is searched again when the token is renewed."""
    newer = make(key=1, end=NOW + 99 * DAY)
    windows.current_user.append(entry(APP))
    app = emulator.register_app(certificate_pem=APP.public + newer.public)
    async with emulator.session() as session:
        connection = await session.connect(
            Certificate(client_id=app.client_id, tenant_id=emulator.tenant_id, name="app")
        )
        app.certificates.pop(0)
        windows.current_user.append(entry(newer))
        emulator.clock.move(29 * 3600)
        await connection.get_token()

    assert len(emulator.token_requests) == 2


async def test_many_at_once(windows: FakeWindows, emulator: Emulator) -> None:
    """Services that sign in at the same time do not confuse each other's handles."""
    windows.current_user += [entry(make("CN=other", key=1)), entry(APP)]
    provider = Certificate(**app_of(emulator, APP), name="app")
    async with emulator.session() as session, anyio.create_task_group() as group:
        for service in ("Graph", "Azure", "Endpoint", "Security"):
            group.start_soon(functools.partial(session.connect, provider, service=service))

    assert len(emulator.token_requests) == 4


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({"acquire_error": 0x80090016}, "NTE_BAD_KEYSET 0x80090016", "Manage Private Keys"),
        ({"acquire_error": 0x80090010}, "access was denied", "Manage Private Keys"),
        ({"acquire_error": 0x80090014}, "not a CNG key", "Microsoft Software Key Storage Provider"),
        ({"acquire_error": 0x80100069}, "smart card was removed", "reader"),
        ({"acquire_error": 0x8009FFFF}, "Windows refused .*0x8009FFFF", "certutil -error"),
        ({"legacy": True}, "not a CNG key", "Microsoft Software Key Storage Provider"),
        ({"sign_error": 0x80090029}, "does not sign with PSS", "Microsoft Software Key Storage Provider"),
        ({"sign_error": 0x80090022}, "requires a dialog", "signer="),
        ({"key": rsa_key(1)}, "not by its certificate's key", "Import the certificate again"),
    ],
    ids=lambda value: "another key" if isinstance(value, dict) and "key" in value else str(value),
)
async def test_a_key_that_does_not_sign(
    windows: FakeWindows, emulator: Emulator, options: dict[str, Any], text: str, hint: str
) -> None:
    """Each refusal of Windows says why and what to do, before anything is sent, and leaves no handle."""
    windows.current_user.append(entry(APP, **options))
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(Certificate(**IDS, thumbprint=APP.thumbprint))

    assert hint in str(caught.value.hint)
    assert APP.thumbprint in str(caught.value)
    assert not emulator.requests


async def test_certificates_that_cannot_be_used(windows: FakeWindows, emulator: Emulator) -> None:
    """Expired, without a key, not RSA, malformed or not there: the error says which were found and where."""
    expired, keyless = make(end=NOW - DAY), make(key=1)
    windows.current_user += [entry(expired), entry(keyless, key=None), Entry(b"0\x03 malformed")]
    windows.open_errors[LOCAL_MACHINE] = 5

    said = await refusal(emulator, name="app")
    assert r"in CurrentUser\My or LocalMachine\My can be used" in said
    assert f"({expired.thumbprint}) expired on" in said
    assert f"({keyless.thumbprint}) has no private key" in said
    assert r"a certificate in CurrentUser\My is malformed" in said
    assert r"LocalMachine\My: access was denied (CertOpenStore, ERROR_ACCESS_DENIED 0x00000005)" in said
    assert "There are: CN=app" in await refusal(emulator, name="nobody")
    windows.current_user.clear()
    assert "There is no certificate with the thumbprint" in await refusal(emulator, thumbprint="A" * 40)


async def test_a_key_that_is_not_rsa(windows: FakeWindows, emulator: Emulator) -> None:
    """An elliptic-curve certificate is refused by name before its key is used."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=curve")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW - DAY, NOW + dt.timedelta(days=9))
    encoded = builder.sign(key, SHA256()).public_bytes(Encoding.DER)
    windows.current_user.append(Entry(encoded, key=APP.key))

    assert "not an RSA key" in await refusal(emulator, name="curve")
    assert "CryptAcquireCertificatePrivateKey" not in windows.calls


async def test_a_key_that_is_gone_meanwhile(
    windows: FakeWindows, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is removed between finding and signing is a clear error."""
    windows.current_user.append(entry(APP))
    looked_up = windows._CertFindCertificateInStore

    def vanish(*arguments: Any) -> int:
        windows.current_user.clear()
        return looked_up(*arguments)

    monkeypatch.setattr(windows, "_CertFindCertificateInStore", vanish)

    assert "it is not there" in await refusal(emulator, AuthenticationError, name="app")


async def test_a_device_that_never_responds(windows: FakeWindows, emulator: Emulator) -> None:
    """A key that does not sign in time is given up; when it does at last, its handles are freed as well."""
    hold = threading.Event()
    windows.current_user.append(entry(APP, hold=hold))

    assert "did not sign within 0.2 s" in await refusal(emulator, AuthenticationError, name="app", timeout_s=0.2)
    hold.set()
    with anyio.fail_after(5):
        while windows._stores:
            await anyio.lowlevel.checkpoint()
