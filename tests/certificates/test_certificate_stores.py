"""Certificates found by thumbprint or name: in .NET's store on Linux and in any folder; renewed, missing, refused."""

from __future__ import annotations

import os
import pickle
import platform
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_async import Certificate
from entra_async.certificates.subject import has_subject
from entra_async.certificates.thumbprint import parse_thumbprint
from entra_async.cli.stall import StallMeter
from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.testing import Emulator
from tests.support.certificate_pairs import DAY, NOW, Pair, app_of, make

CANARY = "hunter2-canary"
IDS: dict[str, Any] = {"client_id": "11111111-1111-1111-1111-111111111111", "tenant_id": "contoso.com"}
APP = make("CN=app,O=Contoso\\, Ltd.,C=DE")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return .NET's folder for ``CurrentUser\\My`` of a user with a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".dotnet" / "corefx" / "cryptography" / "x509stores" / "my"
    folder.mkdir(parents=True)
    return folder


async def put(folder: Path, *pairs: Pair, name: str = "{0}.pfx") -> None:
    for pair in pairs:
        await anyio.Path(folder / name.format(pair.thumbprint)).write_bytes(pair.pfx())


async def refusal(emulator: Emulator, **given: Any) -> ConfigurationError:
    """Return the error that connecting raises; nothing was sent."""
    async with emulator.session() as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(Certificate(**IDS, **given))
    assert caught.value.hint
    assert not emulator.requests
    return caught.value


@pytest.mark.parametrize("style", [str.upper, str.lower, lambda text: f"\u200e{text[:2]}:{text[2:20]} {text[20:]}\n"])
async def test_a_thumbprint_as_people_copy_it(store: Path, emulator: Emulator, style: Any) -> None:
    """A certificate of PowerShell's store on Linux signs in by thumbprint: any case, blanks, colons, hidden marks."""
    await put(store, APP, make("CN=other", key=1))
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), thumbprint=style(APP.thumbprint)))

    assert len(emulator.token_requests) == 1


@pytest.mark.parametrize(
    "name",
    [
        "app",
        "APP",
        'CN=app, O="Contoso, Ltd.", C=DE',
        "cn=App,o=Contoso\\, Ltd.,c=de",
        "C = DE, O = Contoso\\, Ltd., CN = app",
    ],
)
async def test_a_name_as_people_write_it(store: Path, emulator: Emulator, name: str) -> None:
    """The common name, or the distinguished name as .NET, RFC 4514 or OpenSSL write it, in any case."""
    await put(store, APP, make("CN=app,O=Fabrikam", key=1, end=NOW + 9 * DAY), make("CN=app2", key=1))
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), name=name))

    assert len(emulator.token_requests) == 1


@pytest.mark.parametrize("name", ["ap", "app,O=Contoso", "CN=app", "O=Contoso\\, Ltd.", "CN=app,O=Contoso", "=", "CN="])
def test_part_of_a_name_is_not_the_name(name: str) -> None:
    """A name matches as a whole: neither a part of it nor of the common name is enough."""
    assert not has_subject(APP.certificate, name)


async def test_the_newest_of_a_name_is_used_and_picked_up(store: Path, emulator: Emulator) -> None:
    """Of several with a key the one valid longest is used, and a newer one as soon as the token is renewed."""
    old, future = make(end=NOW + DAY), make(key=1, start=NOW + 5 * DAY, end=NOW + 99 * DAY)
    expired, newer = make(key=1, end=NOW - DAY), make(key=1)
    await put(store, old, expired, future)
    app = emulator.register_app(certificate_pem=old.public + newer.public)
    async with emulator.session() as session:
        await session.connect(Certificate(client_id=app.client_id, tenant_id=emulator.tenant_id, name="app"))
        app.certificates.pop(0)
        await put(store, newer)
        emulator.clock.move(29 * 3600)
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    assert len(emulator.token_requests) == 2


async def test_expired_ones_are_refused_and_named(store: Path, emulator: Emulator) -> None:
    """When all of a name are expired, or have no key, the error says so of each; a thumbprint is no way around."""
    expired, keyless = make(end=NOW - DAY), make(key=1)
    await put(store, expired)
    await anyio.Path(store / "public.pfx").write_bytes(pfx_of(keyless.certificate))

    by_name = await refusal(emulator, name="CN=app")
    assert by_name.field == "name"
    assert f"CN=app ({expired.thumbprint}) expired on {NOW - DAY:%Y-%m-%d %H:%M} UTC" in str(by_name)
    assert f"CN=app ({keyless.thumbprint}) has no private key" in str(by_name)
    for pair, flaw in ((expired, "expired on"), (keyless, "has no private key")):
        by_thumbprint = await refusal(emulator, thumbprint=pair.thumbprint)
        assert by_thumbprint.field == "thumbprint"
        assert flaw in str(by_thumbprint)


def pfx_of(certificate: x509.Certificate) -> bytes:
    """Return a PFX file with a certificate and no key."""
    from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

    return pkcs12.serialize_key_and_certificates(None, None, certificate, None, NoEncryption())


async def test_the_store_is_read_as_dotnet_does(store: Path, emulator: Emulator) -> None:
    """Unreadable files and folders are passed over, ``.1.pfx`` counts, a file with the key is preferred, PEM is not."""
    await anyio.Path(store / f"{APP.thumbprint}.pfx").write_bytes(pfx_of(APP.certificate))
    await put(store, APP, name="{0}.1.pfx")
    await anyio.Path(store / "broken.pfx").write_bytes(b"not a certificate")
    await anyio.Path(store / "locked.pfx").write_bytes(make("CN=app", key=1).pfx("a password"))
    await anyio.Path(store / "folder.pfx").mkdir()
    await anyio.Path(store / "pem.pem").write_bytes(make("CN=in pem").pem)
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), thumbprint=APP.thumbprint))
        await session.connect(Certificate(**app_of(emulator, APP), name="app"), service="Endpoint")
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(Certificate(**IDS, name="in pem"))

    assert "There are: CN=app,O=Contoso\\, Ltd.,C=DE." in str(caught.value)
    assert "broken.pfx" in str(caught.value)
    assert "locked.pfx is a PFX file with a password" in str(caught.value)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the file of this test")
def test_an_empty_password_as_dotnet_writes_it(tmp_path: Path) -> None:
    """A file that is encrypted and sealed with the empty password, as .NET writes it, is opened without one."""
    from entra_async.certificates.load import load_certificate

    (tmp_path / "app.pem").write_bytes(APP.pem)
    export = ["openssl", "pkcs12", "-export", "-in", "app.pem", "-out", "app.pfx", "-passout", "pass:"]
    subprocess.run(export, cwd=tmp_path, check=True, capture_output=True)

    assert load_certificate(path=tmp_path / "app.pfx", now=NOW).thumbprint == APP.thumbprint


async def test_a_store_that_others_may_write_to(
    store: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in which another user could have put a certificate is refused, and the error says how to mend it."""
    await put(store, APP)
    path = anyio.Path(store)
    await path.chmod(0o777)
    assert "Every user may write" in str(await refusal(emulator, thumbprint=APP.thumbprint))
    await path.chmod(0o700)
    if os.geteuid() == 0:
        await anyio.to_thread.run_sync(os.chown, store, 4242, -1)
    else:
        stranger = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
    assert "belongs to another user" in str(await refusal(emulator, thumbprint=APP.thumbprint))


async def test_a_store_that_was_never_written_to(tmp_path: Path, emulator: Emulator, store: Path) -> None:
    """Without a store, the error says which folder is missing and what else to give."""
    await anyio.Path(store).rmdir()
    error = await refusal(emulator, name="app")

    assert f"{store} does not exist" in str(error)
    assert "path=" in str(error)


async def test_no_home_in_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without HOME the user database is read, as .NET does; without an entry there, the error says what to give."""
    import pwd

    entry = list(pwd.getpwuid(os.getuid()))
    entry[5] = str(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(entry))

    assert str(tmp_path / ".dotnet") in str(await refusal(emulator, name="app"))

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert "no home folder" in str(await refusal(emulator, name="app"))


async def test_any_folder(tmp_path: Path, emulator: Emulator) -> None:
    """A folder of PFX and PEM files is searched by thumbprint and name; alone, its newest certificate is used."""
    old, new = make("CN=old", end=NOW + DAY), make("CN=new", key=1)
    await anyio.Path(tmp_path / "old.PEM").write_bytes(old.pem)
    await anyio.Path(tmp_path / "new.p12").write_bytes(new.pfx(CANARY))
    await anyio.Path(tmp_path / "notes.txt").write_bytes(b"-----BEGIN")
    await anyio.to_thread.run_sync(os.mkfifo, tmp_path / "fifo.pem")
    place: dict[str, Any] = {"folder": tmp_path, "password": CANARY}
    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, old), **place, name="OLD"))
        await session.connect(Certificate(**app_of(emulator, new), **place, thumbprint=new.thumbprint))
        await session.connect(Certificate(**app_of(emulator, new), **place))
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(Certificate(**IDS, folder=tmp_path, password="wrong", name="new"))

    assert len(emulator.token_requests) == 3
    assert "CN=old" in str(caught.value)
    assert "new.p12 is a PFX file that this password does not open" in str(caught.value)


async def test_folders_that_are_none(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing folder, a file, an empty folder and one that may not be read differ in their words."""
    await anyio.Path(tmp_path / "file").touch()
    assert (await refusal(emulator, folder=tmp_path / "missing", name="app")).field == "folder"
    assert "is no folder" in str(await refusal(emulator, folder=tmp_path / "file"))
    assert "There is no certificate to sign in with" in str(await refusal(emulator, folder=tmp_path))

    def deny(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so permission bits would prove nothing.
    monkeypatch.setattr(Path, "iterdir", deny)
    assert "Permission denied" in str(await refusal(emulator, folder=tmp_path))


async def test_macos_says_what_to_do(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keychain of macOS is not read: the error says so, and which ways work there."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match="macOS keychain") as caught:
            await session.connect(Certificate(**IDS, name="app"))

    assert "folder=" in str(caught.value.hint)


async def test_a_stuck_file_has_a_limit(tmp_path: Path, emulator: Emulator) -> None:
    """Reading a file that never ends is abandoned at the limit; the event loop runs all the while."""
    fifo = tmp_path / "app.pem"  # nobody writes to it, so that opening it waits
    await anyio.to_thread.run_sync(os.mkfifo, fifo)
    meter = StallMeter()
    async with emulator.session() as session, anyio.create_task_group() as watch:
        watch.start_soon(meter.run)
        with pytest.raises(AuthenticationError, match=r"could not be read within 0\.2 s"):
            await session.connect(Certificate(**IDS, path=fifo, timeout_s=0.2))
        started = time.monotonic()
        with anyio.move_on_after(0.1):
            await session.connect(Certificate(**IDS, path=fifo))
        assert time.monotonic() - started < 2
        watch.cancel_scope.cancel()
    os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))  # lets the threads go

    assert meter.longest_s < 0.25
    assert not emulator.requests


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "path"),
        ({"thumbprint": "A" * 40, "name": "app"}, "name"),
        ({"path": "a.pfx", "name": "app"}, "name"),
        ({"path": "a.pfx", "folder": "certificates"}, "folder"),
        ({"name": "app", "password": CANARY}, "password"),
        ({"name": " "}, "name"),
        ({"name": 7}, "name"),
        ({"thumbprint": "A" * 39}, "thumbprint"),
        ({"thumbprint": "A" * 64}, "thumbprint"),
        ({"thumbprint": b"A" * 40}, "thumbprint"),
        ({"name": "app", "signer": bytes}, "signer"),
        ({"name": "app", "timeout_s": 0}, "timeout_s"),
        ({"name": "app", "timeout_s": float("nan")}, "timeout_s"),
    ],
    ids=str,
)
def test_a_wrong_mix_is_refused_at_once(given: dict[str, Any], field: str) -> None:
    """Two sources, a parameter that goes with none, and a malformed value name their parameter."""
    with pytest.raises(ConfigurationError) as caught:
        Certificate(**IDS, **given)

    assert caught.value.field == field
    assert caught.value.hint
    assert CANARY not in str(caught.value)


def test_the_provider_is_a_plain_value() -> None:
    """It compares by what it means, pickles, and shows no password."""
    provider = Certificate(**IDS, folder="certificates", password=CANARY, thumbprint=APP.thumbprint.lower())

    assert provider == Certificate(**IDS, folder="certificates", password=CANARY, thumbprint=APP.thumbprint)
    assert pickle.loads(pickle.dumps(provider)) == provider
    assert hash(provider) == hash(pickle.loads(pickle.dumps(provider)))
    assert CANARY not in repr(provider)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text(alphabet='CNO=,;+\\"a1 F'))
def test_any_text_is_a_name(text: str) -> None:
    """Whatever stands for a name is compared without an error."""
    assert has_subject(APP.certificate, text) in {True, False}


@given(st.text() | st.text(alphabet="0123456789abcdefABCDEF :", min_size=38, max_size=60))
def test_any_text_is_a_thumbprint_or_refused(text: str) -> None:
    """Whatever stands for a thumbprint becomes 40 upper-case hex digits or is refused."""
    digits = "0" * 40
    with suppress(ConfigurationError):
        digits = parse_thumbprint(text)

    assert bytes.fromhex(digits).hex().upper() == digits
    assert len(digits) == 40
