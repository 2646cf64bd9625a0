"""Pages of Azure Resource Manager: ``value`` and ``nextLink``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.arm.call import json_response
from entra_async.testing.arm.errors import ArmError
from entra_async.testing.odata.query import build_query, parse_number
from entra_async.testing.odata.skiptoken import ForgedTokenError, PagePosition, SkipTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from entra_async.testing.arm.call import ArmCall
    from entra_async.testing.clock import EmulatorClock

__all__ = ("ArmPages",)

_MAX_PAGE: Final = 1000


class ArmPages:
    """
    Serves lists, page by page.

    Args:
        clock: For the age of page tokens.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._tokens = SkipTokens(PagePosition)

    def page_response(self, call: ArmCall, entries: Sequence[dict[str, Any]]) -> web.Response:
        """
        Return one page.

        Args:
            call: The request.
            entries: All there are, in an order that lasts.

        Raises:
            ArmError: 400 if the page token is none of this list's, or too old.
            QueryError: If ``$top`` is no number.
        """
        options = dict(call.options)
        token = options.pop("$skiptoken", None)
        size = parse_number("$top", options.get("$top", str(call.arm.page_size)))
        if not 1 <= size <= _MAX_PAGE:
            message = f"The $top query parameter must be a number between 1 and {_MAX_PAGE}."
            raise ArmError(400, "InvalidTopQueryParameter", message)
        query = f"{'/'.join(call.path).lower()}?{build_query(dict(sorted(options.items())))}"
        now = self._clock.now()
        place = PagePosition(0, 1, advanced=False, issued_at=now) if token is None else self._read(call, token, query)
        empty = call.arm.empty_pages > 0 and place.page % call.arm.empty_pages == 0
        end = place.position if empty else place.position + size
        body: dict[str, Any] = {"value": list(entries[place.position : end])}
        if end < len(entries):
            following = PagePosition(end, place.page + 1, advanced=False, issued_at=now)
            link = {**options, "$skiptoken": self._tokens.issue(following, query)}
            body["nextLink"] = call.url(call.request.rel_url.raw_path, link)
        return json_response(body)

    def _read(self, call: ArmCall, token: str, query: str) -> PagePosition:
        try:
            place = self._tokens.read(token, query)
        except ForgedTokenError as error:
            message = "The skip token query parameter is invalid."
            raise ArmError(400, "InvalidSkipToken", message) from error
        if self._clock.now() > place.issued_at + call.arm.page_token_lifetime_s:
            raise ArmError(400, "InvalidSkipToken", "The skip token query parameter has expired.")
        return place
