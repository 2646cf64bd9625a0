"""Check the scopes and claims of a token request. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from entra_async.errors import ConfigurationError
from entra_async.rules.http.decoding import decode_json

__all__ = ("check_token_request",)


def check_token_request(scopes: Iterable[object], claims: object) -> None:
    """
    Check scopes and claims before they are sent.

    Args:
        scopes: Texts without blanks.
        claims: A JSON object as a text, as a claims challenge holds it; or ``None``.

    Raises:
        ConfigurationError: If one of them is something else.
    """
    for scope in scopes:
        if not isinstance(scope, str) or not scope or any(character.isspace() for character in scope):
            message = f"A scope is {scope!r}."
            raise ConfigurationError(message, field="scopes", hint="Give each scope as a text without blanks.")
    if not claims:
        return
    try:
        usable = isinstance(claims, str) and isinstance(decode_json(claims.encode()), dict)
    except (msgspec.DecodeError, UnicodeEncodeError):
        usable = False
    if not usable:
        message = "claims is not the text of a JSON object."
        raise ConfigurationError(message, field="claims", hint="Pass on what the claims challenge held, decoded.")
