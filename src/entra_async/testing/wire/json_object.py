"""Decoding the body of a request that has to be a JSON object."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("decode_object",)


def decode_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in *body*, or ``None`` if it is anything else."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):  # nested too deeply is no better than malformed
        return None
    return decoded if isinstance(decoded, dict) else None
