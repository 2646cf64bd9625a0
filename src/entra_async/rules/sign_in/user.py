"""Check the arguments of a user's sign-in, and identify the user who signed in. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from entra_async.errors import ConfigurationError
from entra_async.rules.tokens.token_request import check_token_request

__all__ = ("check_callable", "check_scopes", "check_timeout_s", "check_user_name", "identify_user")


def check_scopes(scopes: object) -> tuple[str, ...]:
    """
    Return *scopes* as a tuple, each as it was written.

    Raises:
        ConfigurationError: If they are one text, or one of them is empty or holds a blank.
    """
    if isinstance(scopes, str) or not isinstance(scopes, Iterable):
        message = f"scopes is {scopes!r}, which is no list."
        raise ConfigurationError(message, field="scopes", hint="Give a list of scopes, such as ['User.Read'].")
    listed = tuple(scopes)
    check_token_request(listed, None)
    return listed


def check_user_name(user_name: object, *, field: str) -> str:
    r"""
    Return *user_name* if it may be one: it becomes part of a URL and of a header.

    Raises:
        ConfigurationError: If it is empty, or holds a blank, a control character, or one of ``/ ? \``.
    """
    if (
        not isinstance(user_name, str)
        or not user_name
        or any(character.isspace() or not character.isprintable() or character in "/?\\" for character in user_name)
    ):
        message = f"{field} is {user_name!r}, which is no user name."
        raise ConfigurationError(message, field=field, hint="Give a user principal name, such as 'ada@contoso.com'.")
    return user_name


def check_timeout_s(timeout_s: object) -> float:
    """
    Return *timeout_s* if it is a valid time-out.

    Raises:
        ConfigurationError: If it is not a finite number greater than zero.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s < math.inf:
        message = f"timeout_s is {timeout_s!r}."
        raise ConfigurationError(message, field="timeout_s", hint="Give a number of seconds greater than zero.")
    return timeout_s


def check_callable(function: object, *, field: str) -> None:
    """
    Do nothing if *function* can be called, or is ``None``.

    Raises:
        ConfigurationError: If it cannot.
    """
    if function is not None and not callable(function):
        message = f"{field} is a {type(function).__name__}, which cannot be called."
        raise ConfigurationError(message, field=field, hint="Give a function or a coroutine function.")


def identify_user(result: Mapping[str, Any]) -> str | None:
    """
    Return the home account id: a text that is the same for the same user, and for nobody else; ``None`` if unknown.

    It is the account's id in its home tenant, whatever tenant the token is of; or, where no ``client_info`` is sent,
    that of the ID token's claims.

    Args:
        result: MSAL's, of a sign-in or a refresh token.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference
        https://learn.microsoft.com/en-us/python/api/msal/msal.application.clientapplication (``home_account_id``)

    Example:
        >>> identify_user({"id_token_claims": {"oid": "0a1b", "tid": "2c3d"}})
        '0a1b.2c3d'
    """
    home = _read_client_info(result.get("client_info"))
    claims = result.get("id_token_claims")
    id_token = claims if isinstance(claims, Mapping) else {}
    for user, tenant in (
        (home.get("uid"), home.get("utid")),
        (id_token.get("oid"), id_token.get("tid")),
        (id_token.get("sub"), id_token.get("iss")),  # what every ID token has: OpenID Connect Core 1.0, section 2
    ):
        if isinstance(user, str) and isinstance(tenant, str) and user and tenant:
            return f"{user}.{tenant}"
    return None


def _read_client_info(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        return {}
    try:
        info = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}
