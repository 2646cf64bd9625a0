"""Certificates: every way a file can hold one is read, and every way it can be wrong has an error of its own."""

from __future__ import annotations

import base64
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from entra_async.certificates.load import load_certificate
from entra_async.certificates.signing import SigningCertificate, from_objects
from entra_async.errors import ConfigurationError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PASSWORD = "canary-Pässword-1"
DAY = timedelta(days=1)


def issue(
    key: CertificateIssuerPrivateKeyTypes, name: str, *, start: datetime = NOW - DAY, end: datetime = NOW + 30 * DAY
) -> x509.Certificate:
    """Return a self-signed certificate of the key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )


@dataclass(frozen=True)
class Pki:
    """Keys and certificates, made once: RSA keys take a while."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate
    other_key: rsa.RSAPrivateKey
    other: x509.Certificate

    def key_pem(self, style: PrivateFormat = PrivateFormat.PKCS8, password: str | None = None) -> bytes:
        cipher = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
        return self.key.private_bytes(Encoding.PEM, style, cipher)

    def pfx(self, cipher: KeySerializationEncryption, *chain: x509.Certificate) -> bytes:
        return pkcs12.serialize_key_and_certificates(b"app", self.key, self.certificate, chain, cipher)


def modern(password: str) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode())


def legacy(password: str) -> KeySerializationEncryption:
    """Return how Windows exported PFX files for decades: 3DES and SHA-1."""
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000)
    algorithm = pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC
    return builder.key_cert_algorithm(algorithm).hmac_hash(hashes.SHA1()).build(password.encode())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Return a key with its certificate and chain, and a pair that has nothing to do with them."""
    key, other_key, ca_key = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    issuer, root = issue(ca_key, "issuer"), issue(ca_key, "root")
    return Pki(key, issue(key, "app"), issuer, root, other_key, issue(other_key, "other"))


def load(data: bytes, password: str | bytes | None = None) -> SigningCertificate:
    return load_certificate(data=data, password=password, now=NOW)


def refusal(**given: Any) -> ConfigurationError:
    """Return the error that loading raises, which always has a hint."""
    with pytest.raises(ConfigurationError) as caught:
        load_certificate(**{"now": NOW, **given})
    assert caught.value.hint
    return caught.value


def test_pem_is_read_in_any_order(pki: Pki, tmp_path: Path) -> None:
    """The certificate of the key is the leaf wherever it stands, and the rest is its chain in the file's order."""
    file = tmp_path / "app.pem"
    for content in (
        pki.key_pem() + pem(pki.certificate, pki.issuer, pki.root),
        pem(pki.issuer, pki.certificate, pki.root) + pki.key_pem(),
        pem(pki.issuer, pki.root) + pki.key_pem() + pem(pki.certificate, pki.issuer),
    ):
        file.write_bytes(content)
        loaded = load_certificate(path=file, now=NOW)
        assert loaded == load(content)
        assert loaded.certificate == pki.certificate
        assert loaded.chain == (pki.issuer, pki.root)


@pytest.mark.parametrize("style", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_every_pem_key_is_read(pki: Pki, style: PrivateFormat, password: str | None) -> None:
    """PKCS#1 and PKCS#8, plain and encrypted, give the same key; a needless password does no harm."""
    data = pki.key_pem(style, password) + pem(pki.certificate)
    for given in (PASSWORD, PASSWORD.encode()) if password else (None, "", PASSWORD):
        assert load(data, given).private_key.private_numbers() == pki.key.private_numbers()


def test_pem_survives_what_tools_do_to_it(pki: Pki) -> None:
    """CRLF, bag attributes, notes around the blocks, UTF-16 of PowerShell and a byte order mark are understood."""
    plain = pki.key_pem() + pem(pki.certificate, pki.issuer)
    noted = b"Bag Attributes\n    friendlyName: app\nKey Attributes: <No Attributes>\n" + plain + b"\nthe end\n"
    for data in (
        plain.replace(b"\n", b"\r\n"),
        noted,
        noted.replace(b"-----BEGIN", b"\nsubject=CN = x\n\n-----BEGIN"),
        b"\xef\xbb\xbf" + plain,
        plain.decode().encode("utf-16"),
        plain.strip(),
    ):
        assert load(data) == load(plain)


def test_renewed_certificate_of_the_same_key_wins(pki: Pki) -> None:
    """Of several certificates of one key the one that is valid and lasts longest is the leaf; none is in the chain."""
    expired = issue(pki.key, "app", start=NOW - 9 * DAY, end=NOW - DAY)
    future = issue(pki.key, "app", start=NOW + DAY, end=NOW + 99 * DAY)
    loaded = load(pem(expired, pki.certificate, future, pki.issuer) + pki.key_pem())
    assert loaded.certificate == pki.certificate
    assert loaded.chain == (pki.issuer,)


def test_key_is_found_by_its_certificate(pki: Pki) -> None:
    """Of several keys in a PEM file the one that has a certificate is taken."""
    stray = pki.other_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert load(stray + pki.key_pem() + pem(pki.certificate)).certificate == pki.certificate


@pytest.mark.parametrize("cipher", [modern, legacy])
def test_pfx_with_a_password(pki: Pki, cipher: Any, tmp_path: Path) -> None:
    """PFX files of today and of old Windows are opened with a password as text or bytes."""
    file = tmp_path / "app.pfx"
    file.write_bytes(pki.pfx(cipher(PASSWORD), pki.issuer, pki.root))
    for given in (PASSWORD, PASSWORD.encode()):
        loaded = load_certificate(path=str(file), password=given, now=NOW)
        assert loaded.certificate == pki.certificate
        assert set(loaded.chain) == {pki.issuer, pki.root}


@pytest.mark.parametrize("password", [None, "", b"", PASSWORD])
def test_pfx_without_a_password(pki: Pki, password: str | bytes | None) -> None:
    """A PFX without a password opens with none, an empty or a needless one, also with bytes after its end."""
    data = pki.pfx(NoEncryption())
    assert load(data, password).certificate == pki.certificate
    assert load(data + b"\r\n", password).certificate == pki.certificate


def test_the_properties_of_a_signing_certificate(pki: Pki) -> None:
    """Thumbprint, subject and expiry are what other tools say of the same certificate."""
    loaded = load(pki.key_pem() + pem(pki.certificate, pki.issuer))
    assert loaded.thumbprint == pki.certificate.fingerprint(hashes.SHA1()).hex().upper()
    assert loaded.subject == "CN=app"
    assert loaded.not_after == NOW + 30 * DAY
    assert loaded.private_key.private_numbers() == pki.key.private_numbers()


def test_repr_names_the_certificate_only(pki: Pki) -> None:
    """The repr shows subject, thumbprint and expiry, and nothing of the key."""
    loaded = load(pki.key_pem() + pem(pki.certificate))
    assert repr(loaded) == (
        f"SigningCertificate(subject='CN=app', thumbprint='{loaded.thumbprint}', not_after='2026-03-02T12:00:00+00:00')"
    )


def test_objects_are_taken_as_they_are(pki: Pki) -> None:
    """A key and a certificate of the cryptography library make the same signing certificate as their file."""
    made = from_objects(pki.key, pki.certificate, [pki.issuer, pki.certificate], now=NOW)
    assert made == load(pki.key_pem() + pem(pki.certificate, pki.issuer))


def test_objects_that_do_not_fit_are_refused(pki: Pki) -> None:
    """A wrong key, a key that is none, and a certificate that is none name their parameter."""
    for key, certificate, field in (
        (pki.other_key, pki.certificate, "private_key"),
        ("key", pki.certificate, "private_key"),
        (ec.generate_private_key(ec.SECP256R1()), pki.certificate, "private_key"),
        (pki.key, pem(pki.certificate), "certificate"),
        (pki.key, issue(pki.key, "app", start=NOW - 9 * DAY, end=NOW - DAY), "certificate"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            from_objects(key, certificate, now=NOW)  # type: ignore[arg-type]  # what is tested
        assert (caught.value.field, bool(caught.value.hint)) == (field, True)


def test_exactly_one_of_path_and_data(pki: Pki, tmp_path: Path) -> None:
    """Both or neither of path and data is refused before anything is read."""
    assert refusal().field == "path"
    assert refusal(path=tmp_path / "missing", data=pki.key_pem()).field == "path"


def test_unreadable_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, a directory, an empty file and what cannot be a path differ in their words."""
    file = tmp_path / "file"
    file.touch()
    for problem, path in (
        ("does not exist", tmp_path / "missing.pfx"),
        ("does not exist", file / "app.pfx"),
        ("is a directory", tmp_path),
        ("is empty", file),
        ("cannot be the path", "a\0b"),
        ("cannot be the path", 7),
        ("cannot be read: File name too long", "x" * 5000),
    ):
        error = refusal(path=path)
        assert problem in str(error)
        assert error.field == "path"

    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "missing.pfx") in str(refusal(path="missing.pfx"))


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the process may not read is not said to be missing or damaged."""
    (tmp_path / "app.pfx").touch()

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so permission bits would prove nothing.
    monkeypatch.setattr(Path, "open", deny)
    assert "may not be read" in str(refusal(path=tmp_path / "app.pfx"))


def test_unreadable_data() -> None:
    """Text instead of bytes, and nothing but blanks, are refused."""
    assert "is a str, not bytes" in str(refusal(data="-----BEGIN CERTIFICATE-----"))
    for nothing in (b"", b" \r\n"):
        error = refusal(data=nothing)
        assert "is empty" in str(error)
        assert error.field == "data"


def test_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A file that cannot be a certificate for its size is refused, not read into memory."""
    file = tmp_path / "disk.img"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "is too large" in str(refusal(path=file))


def test_passwords_that_do_not_open(pki: Pki) -> None:
    """A wrong password, a missing one and one that is no text have different errors."""
    for data in (
        pki.key_pem(PrivateFormat.PKCS8, PASSWORD) + pem(pki.certificate),
        pki.key_pem(PrivateFormat.TraditionalOpenSSL, PASSWORD) + pem(pki.certificate),
        pki.pfx(modern(PASSWORD)),
        pki.pfx(legacy(PASSWORD)),
    ):
        wrong = [refusal(data=data, password=given) for given in ("canary-wrong", b"\xff\xfe")]
        missing = [refusal(data=data, password=given) for given in (None, "", b"")]
        assert all("this password does not open" in str(error) for error in wrong)
        assert all("given." in str(error) and "password" in str(error) for error in missing)
        assert {error.field for error in (*wrong, *missing)} == {"password"}
    for odd in (7, "\udfff\ud800"):
        assert refusal(data=pki.key_pem(), password=odd).field == "password"


def test_incomplete_files(pki: Pki, tmp_path: Path) -> None:
    """A key alone, a certificate alone, in PEM, DER and PFX, is each named for what it is."""
    bare = pki.certificate.public_bytes(Encoding.DER)
    key = pki.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    locked = pki.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, modern("pw"))
    public = pkcs12.serialize_key_and_certificates(None, None, pki.certificate, None, NoEncryption())
    lonely = pkcs12.serialize_key_and_certificates(None, pki.key, None, None, NoEncryption())
    file = tmp_path / "given"
    for data, problem in (
        (pem(pki.certificate, pki.issuer), "holds no private key"),
        (public, "holds no private key"),
        (pki.key_pem(), "holds no certificate"),
        (lonely, "holds no certificate"),
        (bare, "is a certificate without its private key"),
        (key, "is a private key without its certificate"),
        (locked, "is a private key without its certificate"),
    ):
        file.write_bytes(data)
        error = refusal(path=file)
        assert f"{file} {problem}" in str(error)
        assert error.field == "path"


def test_pem_that_went_through_many_hands(pki: Pki) -> None:
    """Line ends of every kind, doubled, indented or lost, and text around the blocks, are no damage."""
    whole = pki.key_pem() + pem(pki.certificate)
    headers = pki.key_pem(PrivateFormat.TraditionalOpenSSL, PASSWORD) + pem(pki.certificate)
    for end in (b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r\n", b" \n", b"\n    ", b" ", b""):
        for around in (b"", b"Bag Attributes\r\n    friendlyName: app\r\n", b"\xef\xbb\xbf", b'"'):
            assert load(around + whole.replace(b"\n", end) + around).certificate == pki.certificate
    assert load(headers.replace(b"\n", b"\r\n"), PASSWORD).certificate == pki.certificate


def test_damaged_files(pki: Pki) -> None:
    """Cut, altered, converted or unrelated bytes are refused with what seems to have happened."""
    whole = pki.key_pem() + pem(pki.certificate)
    pfx = pki.pfx(NoEncryption())
    openssh = pki.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    for data, problem in (
        (whole[:300], "is cut off"),
        (pfx[:-30], "is cut off"),
        (whole.replace(b"\n", b"\\n"), "holds a damaged"),
        (pki.key_pem().replace(b"MII", b"AAA", 1) + pem(pki.certificate), "holds a damaged private key"),
        (pki.key_pem() + pem(pki.certificate).replace(b"MII", b"AAA", 1), "holds a damaged certificate"),
        (openssh + pem(pki.certificate), "OpenSSH"),
        (base64.b64encode(pfx), "is base64 text"),
        (base64.encodebytes(pfx), "is base64 text"),
        (b"client_secret=hello", "is neither PEM nor PFX"),
        (b"0", "is neither PEM nor PFX"),
        (b"\x30\x80\x02\x01\x03\x00\x00", "is a PFX file"),
        (b"\x30\x03\x02\x01\x03", "is a PFX file"),
        (bytes(4096), "is neither PEM nor PFX"),
    ):
        assert problem in str(refusal(data=data))


def test_keys_that_entra_id_does_not_take(pki: Pki) -> None:
    """A key of another kind, a short one, and one of another certificate are refused before they are sent."""
    curve = ec.generate_private_key(ec.SECP256R1())
    short = rsa.generate_private_key(65537, 1024)
    for key, problem in ((curve, "is not an RSA key"), (short, "has 1024 bits")):
        certificate = issue(key, "app")
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        packed = pkcs12.serialize_key_and_certificates(None, key, certificate, None, NoEncryption())
        for data in (plain + pem(certificate), packed):
            assert problem in str(refusal(data=data))
    assert "does not belong" in str(refusal(data=pki.key_pem() + pem(pki.other, pki.issuer)))


def test_algorithms_and_names_nobody_knows(pki: Pki) -> None:
    """A key of an unknown algorithm, a certificate of one, and a subject that is no text are refused by name."""
    known, unknown = bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010163")
    key = pki.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).replace(known, unknown)
    strange = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(key) + b"-----END PRIVATE KEY-----\n"
    certificate = pki.certificate.public_bytes(Encoding.DER)
    foreign = x509.load_der_x509_certificate(certificate.replace(known, unknown))
    nameless = x509.load_der_x509_certificate(certificate.replace(b"\x0c\x03app", b"\x0c\x03a\xffp"))
    for data, problem in (
        (strange + pem(pki.certificate), "of a kind or cipher that is not supported"),
        (pki.key_pem() + pem(foreign), "does not belong"),
        (pki.key_pem() + pem(nameless), "subject cannot be read"),
    ):
        assert problem in str(refusal(data=data))


def test_times_that_do_not_fit(pki: Pki) -> None:
    """An expired certificate says when it expired, one not yet valid from when; the last second counts as valid."""
    data = pki.key_pem() + pem(pki.certificate)
    assert "CN=app expired on 2026-03-02 12:00 UTC" in str(refusal(data=data, now=NOW + 31 * DAY))
    assert "not valid before 2026-01-30 12:00 UTC" in str(refusal(data=data, now=NOW - 2 * DAY))
    for moment in (NOW - DAY, NOW + 30 * DAY):
        assert load_certificate(data=data, now=moment).not_after == NOW + 30 * DAY


def test_no_error_leads_to_a_secret(pki: Pki) -> None:
    """Neither text, traceback, cause nor context of a refusal holds the password or a piece of the key."""
    body = pki.key_pem().split(b"\n")[3].decode()
    damaged = pki.key_pem().replace(b"MII", b"AAA", 1) + pem(pki.certificate)
    for data, password in (
        (pki.pfx(modern("right")), PASSWORD),
        (pki.key_pem(PrivateFormat.PKCS8, "right") + pem(pki.certificate), PASSWORD),
        (damaged, PASSWORD),
        (pki.key_pem(), PASSWORD),
        (damaged, f"{PASSWORD}\ud800"),
        (pki.pfx(NoEncryption())[:-9], PASSWORD),
    ):
        error = refusal(data=data, password=password)
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
        assert error.__cause__ is error.__context__ is None
        assert "canary" not in shown
        assert body not in shown
