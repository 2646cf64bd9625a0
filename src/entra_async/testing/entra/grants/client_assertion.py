"""
Verifying client assertions: the JWT that a client signs with its certificate.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
    RFC 7523, section 3: https://www.rfc-editor.org/rfc/rfc7523#section-3
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from entra_async.testing.entra.app_registrations import App

__all__ = ("verify_client_assertion",)

_CLOCK_SKEW_S: Final = 300

_PADDINGS: Final[dict[str, padding.AsymmetricPadding]] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
}
_THUMBPRINTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "x5t": hashes.SHA1(),  # noqa: S303 -- a name, not a safeguard
    "x5t#S256": hashes.SHA256(),
}


def verify_client_assertion(assertion: str, app: App, *, token_url: str, now: float) -> None:
    """
    Check that *assertion* is *app*'s, for this token endpoint, and valid now.

    The same assertion may come again while it is valid: MSAL re-uses one for nine minutes.

    Args:
        assertion: The ``client_assertion`` as it was sent.
        app: The app that ``client_id`` names.
        token_url: The URL that was called.
        now: Epoch seconds.

    Raises:
        AadstsError: If it is not.
    """
    parts = assertion.split(".")
    if len(parts) != 3:
        raise AadstsError(50027, reason="It has not three parts.")
    header, claims = _decode_object(parts[0]), _decode_object(parts[1])
    certificate = _find_certificate(header, app, now=now)
    # The text is signed as it was sent: clients differ in how they encode it (padding, the standard alphabet).
    signed = assertion[: assertion.rindex(".")].encode("ascii")
    _check_signature(_decode(parts[2]), signed, certificate, algorithm=header.get("alg"))
    _check_claims(claims, app, token_url=token_url, now=now)


def _decode(segment: str) -> bytes:
    # azure-identity pads base64url, EntraAuth sends standard base64; Entra ID takes both.
    standard = segment.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AadstsError(50027, reason="A part is not base64url.") from error


def _decode_object(segment: str) -> dict[str, Any]:
    try:
        decoded = json.loads(_decode(segment))
    except (ValueError, RecursionError) as error:
        raise AadstsError(50027, reason="A part is not JSON.") from error
    if not isinstance(decoded, dict):
        raise AadstsError(50027, reason="A part is not a JSON object.")
    return decoded


def _find_certificate(header: Mapping[str, Any], app: App, *, now: float) -> x509.Certificate:
    if "crit" in header:  # RFC 7515, section 4.1.11: what is critical and not understood makes the whole JWS invalid
        raise AadstsError(5002730, reason="Unsupported critical header parameter.")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise AadstsError(5002730, reason="The token type is not JWT.")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _PADDINGS:
        raise AadstsError(5002730, reason="Unsupported key for the signing algorithm.")
    named = {name: header[name] for name in _THUMBPRINTS if name in header}
    if not named:
        raise AadstsError(5002730, reason="No certificate thumbprint or keyId specified in token header.")
    for certificate in app.certificates:
        if all(_is_thumbprint(value, certificate, _THUMBPRINTS[name]) for name, value in named.items()):
            if not certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp():
                raise AadstsError(700027, reason="The key used is expired.")
            return certificate
    raise AadstsError(700027, reason="The key was not found.")


def _is_thumbprint(value: object, certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> bool:
    return isinstance(value, str) and _decode(value) == certificate.fingerprint(algorithm)


def _check_signature(signature: bytes, signed: bytes, certificate: x509.Certificate, *, algorithm: object) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise AadstsError(5002730, reason="Unsupported key for the signing algorithm.")
    try:
        key.verify(signature, signed, _PADDINGS[str(algorithm)], hashes.SHA256())
    except InvalidSignature as error:
        reason = "The provided signature value did not match the expected signature value."
        raise AadstsError(700027, reason=reason) from error


def _check_claims(claims: Mapping[str, Any], app: App, *, token_url: str, now: float) -> None:
    for name in ("iss", "sub", "aud", "jti"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise AadstsError(50027, reason=f"It has no '{name}' claim.")
    if claims["iss"] != claims["sub"]:
        raise AadstsError(50048)
    if claims["sub"].lower() != app.client_id:
        raise AadstsError(700021)
    if claims["aud"] != token_url:
        raise AadstsError(700023, reason="Client assertion audience claim does not match Realm issuer.")
    end = _time(claims, "exp")
    if end is None:
        raise AadstsError(50027, reason="It has no 'exp' claim.")
    starts = [moment for moment in (_time(claims, "nbf"), _time(claims, "iat")) if moment is not None]
    if not starts:  # MSAL sends 'iat' only, azure-identity 'nbf' only
        raise AadstsError(50027, reason="It has neither an 'nbf' nor an 'iat' claim.")
    start = max(starts)
    if end <= max(now, start) or start > now + _CLOCK_SKEW_S:
        raise AadstsError(700024, now=_iso(now), start=_iso(start), end=_iso(end))


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # MSAL writes fractions of a second. Beyond the year 9999 no date exists to write into the error.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253402300800:
        raise AadstsError(50027, reason=f"Its '{name}' claim is not a time.")
    return float(value)


def _iso(epoch_s: float) -> str:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
