"""What a test may change about the emulated Microsoft Graph while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ("DeltaReset", "GraphBehaviour", "TokenExpirations")

DeltaReset: TypeAlias = Literal["location", "gone", "sync_state_not_found", "resync_required"]
"""
How Graph says that a delta query has to start over.

``"location"``
    410 with ``Location``, a URL with an empty ``$deltatoken``
``"gone"``
    410 ``SyncStateNotFound`` without ``Location``
``"sync_state_not_found"``
    400 ``syncStateNotFound``
``"resync_required"``
    410 ``resyncRequired`` without ``Location``
"""


@dataclass(slots=True)
class TokenExpirations:
    """
    Which tokens of one kind have expired before their time, for good.

    Attributes:
        generation: What a token issued now carries.
    """

    generation: int = 0
    _expiring_pages: set[int] = field(default_factory=set)

    def expire(self, at_page: int | None) -> None:
        """Let all tokens expire: now, or when the one that leads to page *at_page* is next used."""
        if at_page is None:
            self.generation += 1
        else:
            self._expiring_pages.add(at_page)

    def has_expired(self, generation: int, page: int) -> bool:
        """Return whether the token of that generation that leads to *page* has expired; this call may expire it."""
        if generation == self.generation and page in self._expiring_pages:
            self._expiring_pages.discard(page)
            self.generation += 1
        return generation != self.generation


@dataclass(slots=True)
class GraphBehaviour:
    """
    What a test may change about the emulated Graph, at any time.

    Attributes:
        page_size: How many objects a page holds where ``$top`` does not say.
        empty_pages: Every n-th page (n at least 2) comes without objects, though more follow; 0 for never.
        page_token_lifetime_s: How long a ``@odata.nextLink`` can be followed.
        repeated_items: So many of the last objects of a page come again at the start of the next one.
        injected_links: Pages whose ``@odata.nextLink`` leads elsewhere, by number from 1: ``{3: 3}`` is a page that
            links to itself, ``{3: 2}`` a loop of two. Links to the same page are the same text then.
        delta_token_lifetime_s: How long the links of a delta query can be followed.
        delta_reset: The error for an expired delta token.
        delta_replays: Whether delta queries report changes twice: each change as it was made, then the object as it is.
    """

    page_size: int = 100
    empty_pages: int = 0
    page_token_lifetime_s: float = 3600.0
    repeated_items: int = 0
    injected_links: dict[int, int] = field(default_factory=dict)
    # https://learn.microsoft.com/en-us/graph/delta-query-overview (token duration, directory objects)
    delta_token_lifetime_s: float = 7 * 86400.0
    delta_reset: DeltaReset = "location"
    delta_replays: bool = False
    page_token_expirations: TokenExpirations = field(default_factory=TokenExpirations, init=False, repr=False)
    delta_token_expirations: TokenExpirations = field(default_factory=TokenExpirations, init=False, repr=False)

    def expire_page_tokens(self, *, at_page: int | None = None) -> None:
        """
        Let every ``@odata.nextLink`` issued so far expire, for good.

        Args:
            at_page: Not now, but once, when the next client requests the page of this number (from 2) by its link.
        """
        self.page_token_expirations.expire(at_page)

    def expire_delta_tokens(self, reset: DeltaReset | None = None, *, at_page: int | None = None) -> None:
        """
        Let every link of a delta query issued so far expire, for good.

        Args:
            reset: The error for them from now on, as :attr:`delta_reset`; unless given, as they were.
            at_page: Not now, but once, when the next client requests the page of this number (from 2) within a round.
        """
        if reset is not None:
            self.delta_reset = reset
        self.delta_token_expirations.expire(at_page)
