"""
Read the authentication challenges of a 401 response, and the claims challenge among them. Pure.

Sources:
    RFC 9110, section 11.6.1 (WWW-Authenticate)
    https://learn.microsoft.com/en-us/entra/identity-platform/claims-challenge
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

__all__ = ("Challenge", "read_challenges", "read_claims")

# Longer than any real one, short enough to be read in no time.
_MAX_CHARACTERS: Final = 16_384
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Some leave out the quotes that "=" at the end of Base64 calls for.
_PARAMETER: Final = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN}(?:={{1,2}}|/[\w+/-]*=*)?)(?![^\s,])|"((?:[^"\\]|\\.)*)")', re.DOTALL
)
_SCHEME: Final = re.compile(rf"({_TOKEN})(?:[ \t]+([A-Za-z0-9\-._~+/]+=*)(?=[ \t]*(?:,|$)))?")
_GAP: Final = re.compile(r"[\s,]*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")


class Challenge(NamedTuple):
    """
    One authentication challenge (RFC 9110, section 11.3).

    Attributes:
        scheme: In lower case, such as ``"bearer"``.
        parameters: Names in lower case, and values.
    """

    scheme: str
    parameters: Mapping[str, str]


def read_challenges(values: Iterable[str]) -> list[Challenge]:
    """
    Return the challenges of every ``WWW-Authenticate`` line, as far as they can be read.

    Args:
        values: One for each line; a line may hold several challenges, their parameters in any order.

    Example:
        >>> read_challenges(['PoP nonce="a, b", Bearer error="invalid_token"'])[1].parameters
        {'error': 'invalid_token'}
    """
    challenges: list[Challenge] = []
    for value in values:
        if len(value) > _MAX_CHARACTERS:
            continue
        position = 0
        parameters: dict[str, str] | None = None
        while position < len(value):
            gap = _GAP.match(value, position)
            position = gap.end() if gap is not None else position
            parameter = _PARAMETER.match(value, position)
            scheme = None if parameter is not None else _SCHEME.match(value, position)
            if parameter is not None:
                name, plain, quoted = parameter.groups()
                if parameters is not None:
                    # The first one counts: an intermediary may have added another.
                    parameters.setdefault(name.lower(), _ESCAPED.sub(r"\1", quoted) if plain is None else plain)
                position = parameter.end()
            elif scheme is not None:
                parameters = {}
                challenges.append(Challenge(scheme[1].lower(), parameters))
                position = scheme.end()
            else:
                position += 1
    return challenges


def read_claims(values: Iterable[str]) -> str | None:
    """
    Return the claims challenge, a JSON text; ``None`` if there is none.

    Where several challenges have claims, the first that can be read counts: the others would be for another scheme.

    Args:
        values: The ``WWW-Authenticate`` lines of the response.
    """
    for challenge in read_challenges(values):
        claims = challenge.parameters.get("claims")
        if challenge.scheme == "bearer" and claims:
            text = _decode(claims)
            if text is not None:
                return text
    return None


def _decode(claims: str) -> str | None:
    # Standard or for URLs, padded or not, on one line or several, escaped or not; some send the JSON as it is.
    text = claims.strip()
    if not text.startswith("{"):
        text = unquote(text) if "%" in text else text
        plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
        if _NOT_BASE64.search(plain):
            return None
        try:
            text = base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            return None
    try:
        requested = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(requested, dict) or not isinstance(requested.get("access_token"), dict):
        return None
    return text
