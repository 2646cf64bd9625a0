"""Quote messages of other programs and services, without secrets. Pure."""

from __future__ import annotations

import re
from typing import Final

from entra_async.rules.sign_in.aadsts import first_line

__all__ = ("quote",)

# No word is this long, but tokens and assertions are.
_TOKEN: Final = re.compile(r"[\w.~+=-]{80,}")
# And what is named a secret is one, however short it is.
_NAMED: Final = re.compile(
    r"(?i)([\"']?\w*(?:token|secret|password|assertion)[\"']?\s*[:=]\s*)(?:\"[^\"]*\"?|'[^']*'?|\S+)"
)
_LONGEST: Final = 300


def quote(said: str) -> str:
    """
    Return *said* on one line, without secrets, ids and control characters, and not too long.

    Example:
        >>> quote('ERROR: {"accessToken": "abc"}')
        'ERROR: {"accessToken": …}'
    """
    text = _NAMED.sub(r"\1…", _TOKEN.sub("…", first_line(said)))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
