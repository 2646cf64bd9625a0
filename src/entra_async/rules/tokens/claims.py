"""
The ``claims`` of a token request. Pure.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/claims-challenge
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from entra_async.errors import ConfigurationError

__all__ = ("add_capabilities", "covers", "lasting", "merge_claims")

# "Not issued before": every token requested later meets it.
_MET_BY_TIME: Final = "nbf"


def add_capabilities(claims: str | None, *, enable_cae: bool) -> str | None:
    """
    Return *claims* with the statement that continuous access evaluation is understood, if it is.

    Args:
        claims: A service's claims challenge, a JSON text, or ``None``.
        enable_cae: Whether to state it.

    Raises:
        ConfigurationError: If *claims* is no JSON object, or one whose ``access_token`` is none.

    Example:
        >>> add_capabilities(None, enable_cae=True)
        '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'
    """
    if claims is None and not enable_cae:
        return None
    requested: Any = {}
    try:
        requested = json.loads(claims) if claims is not None else {}
    except ValueError:
        requested = None
    access_token = requested.get("access_token") or {} if isinstance(requested, dict) else None
    if not isinstance(access_token, dict):
        message = "claims is not the JSON text of a claims request."
        hint = "Pass on what the service's claims challenge holds, decoded from Base64."
        raise ConfigurationError(message, field="claims", hint=hint)
    if not enable_cae:
        return claims
    return json.dumps({**requested, "access_token": {**access_token, "xms_cc": {"values": ["CP1"]}}})


def merge_claims(*requests: str | None) -> str | None:
    """
    Return one claims request for all of *requests*; where two name the same claim, the later one counts.

    Example:
        >>> merge_claims('{"access_token":{"acrs":{"value":"c1"}}}', None, '{"access_token":{"nbf":{"value":"1"}}}')
        '{"access_token": {"acrs": {"value": "c1"}, "nbf": {"value": "1"}}}'
    """
    merged: str | None = None
    for request in requests:
        if merged is None or request is None:
            merged = request if merged is None else merged
            continue
        before, after = _read(merged), _read(request)
        merged = request if before is None or after is None else _write({**before, **after})
    return merged


def covers(requested: str | None, required: str | None) -> bool:
    """Return whether a token that was requested with one claims request meets the other, too."""
    if required is None or requested == required:
        return True
    present, wanted = _read(requested or "{}"), _read(required)
    if present is None or wanted is None:
        return False
    return all(name in present and present[name] == value for name, value in wanted.items())


def lasting(claims: str | None) -> str | None:
    """
    Return the part of *claims* that has to be requested at each renewal as well; ``None`` if nothing has.

    Example:
        >>> lasting('{"access_token": {"nbf": {"essential": true, "value": "1"}, "acrs": {"value": "c1"}}}')
        '{"access_token": {"acrs": {"value": "c1"}}}'
    """
    members = _read(claims or "{}") or {}
    kept = {name: value for name, value in members.items() if name[1] != _MET_BY_TIME}
    return _write(kept) if kept else None


def _read(claims: str) -> dict[tuple[str, str], Any] | None:
    """Return the claims by section and name; ``None`` if it is no claims request (OpenID Connect Core, section 5.5)."""
    try:
        sections = json.loads(claims)
    except (ValueError, RecursionError):
        return None
    if not isinstance(sections, dict) or not all(isinstance(each, dict | None) for each in sections.values()):
        return None
    return {(section, name): value for section, members in sections.items() for name, value in (members or {}).items()}


def _write(claims: Mapping[tuple[str, str], Any]) -> str:
    sections: dict[str, dict[str, Any]] = {}
    for (section, name), value in claims.items():
        sections.setdefault(section, {})[name] = value
    return json.dumps(sections)
