"""
The ``claims`` of a token request. Pure.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/claims-challenge
"""

from __future__ import annotations

import json
from typing import Any

from entra_async.errors import ConfigurationError

__all__ = ("add_capabilities",)


def add_capabilities(claims: str | None, *, enable_cae: bool) -> str | None:
    """
    Return *claims* with the statement that continuous access evaluation is understood, if it is.

    Args:
        claims: What a service demanded, a JSON text, or ``None``.
        enable_cae: Whether to state it.

    Raises:
        ConfigurationError: If *claims* is no JSON object, or one whose ``access_token`` is none.

    Example:
        >>> add_capabilities(None, enable_cae=True)
        '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'
    """
    if claims is None and not enable_cae:
        return None
    demanded: Any = {}
    try:
        demanded = json.loads(claims) if claims is not None else {}
    except ValueError:
        demanded = None
    access_token = demanded.get("access_token") or {} if isinstance(demanded, dict) else None
    if not isinstance(access_token, dict):
        message = "claims is not the JSON text of a claims request."
        hint = "Pass on what the service's claims challenge holds, decoded from Base64."
        raise ConfigurationError(message, field="claims", hint=hint)
    if not enable_cae:
        return claims
    return json.dumps({**demanded, "access_token": {**access_token, "xms_cc": {"values": ["CP1"]}}})
