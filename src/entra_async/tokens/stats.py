"""What a broker counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("TokenStats",)


@dataclass(slots=True)
class TokenStats:
    """
    What happened to tokens since a Session was made.

    Attributes:
        hits: Callers that got a token at once.
        misses: Callers that had to wait for one.
        coalesced: Those of them that waited for a question that was on its way already.
        asked: Questions put to token services or the store.
        renewed: Those of them that were put while a valid token was handed out.
        failures: Questions that brought no token.
        refused: Tokens that a service answered with 401.
        evicted: Tokens given up since too many were held.
        held: Tokens held now.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    asked: int = 0
    renewed: int = 0
    failures: int = 0
    refused: int = 0
    evicted: int = 0
    held: int = 0
