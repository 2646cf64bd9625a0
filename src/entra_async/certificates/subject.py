"""
Match a certificate's subject with a name.

The same distinguished name is written in many ways: ``CN=app, O=Contoso`` by .NET, ``CN=app,O=Contoso`` by RFC 4514,
``O = Contoso, CN = app`` by OpenSSL. They are compared part by part.

Sources:
    RFC 4514, sections 2 and 3: https://www.rfc-editor.org/rfc/rfc4514
    https://learn.microsoft.com/en-us/windows/win32/api/wincrypt/nf-wincrypt-certstrtonamew (``S``, ``E``, quotes)
"""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ("has_subject", "show_subject")

_Part = frozenset[tuple[str, str]]

_KEYS: Final = {
    "C": NameOID.COUNTRY_NAME,
    "CN": NameOID.COMMON_NAME,
    "DC": NameOID.DOMAIN_COMPONENT,
    "E": NameOID.EMAIL_ADDRESS,
    "EMAIL": NameOID.EMAIL_ADDRESS,
    "EMAILADDRESS": NameOID.EMAIL_ADDRESS,
    "G": NameOID.GIVEN_NAME,
    "GN": NameOID.GIVEN_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "SN": NameOID.SURNAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "T": NameOID.TITLE,
    "TITLE": NameOID.TITLE,
    "UID": NameOID.USER_ID,
}
_DOTTED: Final = {key: oid.dotted_string for key, oid in _KEYS.items()}

# key = "quoted", or bare with backslashes; then what joins it to the next.
_ATTRIBUTE: Final = re.compile(
    r"""\s* (?:OID\.)? ([A-Za-z0-9.]+) \s*=\s* (?: "((?:[^"]|"")*)" | ((?:\\.|[^\\,;+"])*) ) \s* ([,;+]|$)""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\([0-9A-Fa-f]{2})|\\(.)")


def has_subject(certificate: x509.Certificate, text: str) -> bool:
    """Return whether *text* is the certificate's common name or its whole distinguished name, in any case."""
    try:
        subject = certificate.subject
    except ValueError:  # malformed, so nothing is its name
        return False
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if any(_fold(_text(name)) == _fold(text) for name in names):
        return True
    wanted = _parse(text)
    if not wanted:
        return False
    # Written down, the last part comes first; OpenSSL shows the order of the certificate.
    parts = [frozenset((one.oid.dotted_string, _fold(_text(one))) for one in part) for part in subject.rdns]
    return wanted in (parts[::-1], parts)


def show_subject(certificate: x509.Certificate) -> str:
    """Return the subject for an error: RFC 4514's form, shortened where it is very long."""
    try:
        text = certificate.subject.rfc4514_string()
    except ValueError:
        return "(malformed subject)"
    return text if len(text) <= 200 else f"{text[:197]}..."


def _parse(text: str) -> list[_Part]:
    parts: list[list[tuple[str, str]]] = [[]]
    place = 0
    joint = ","
    while joint:
        match = _ATTRIBUTE.match(text, place)
        if match is None:
            return []
        key, quoted, bare, joint = match.groups()
        value = quoted.replace('""', '"') if quoted is not None else _unescape(bare.strip())
        parts[-1].append((_DOTTED.get(key.upper(), key), _fold(value)))
        if joint in {",", ";"}:
            parts.append([])
        place = match.end()
    return [frozenset(part) for part in parts]


def _unescape(text: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if match[1] else match[2], text)
    # Hex pairs are bytes of UTF-8 (RFC 4514, section 2.4); lone surrogates carry them until they are all together.
    data = b"".join(
        bytes([ord(char) - 0xDC00]) if 0xDC00 <= ord(char) <= 0xDCFF else char.encode("utf-8", "replace")
        for char in raw
    )
    return data.decode("utf-8", "replace")


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    return attribute.value if isinstance(attribute.value, str) else attribute.value.hex()


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
