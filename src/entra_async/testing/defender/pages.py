"""Collections of the Defender services, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entra_async.testing.defender.responses import json_response
from entra_async.testing.odata.filter_parser import parse_filter
from entra_async.testing.odata.pages import encode_page, find_page
from entra_async.testing.odata.query import QueryError, build_query

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.directory.directory import Objects
    from entra_async.testing.odata.filter import Property

__all__ = ("DefenderBehaviour", "DefenderPages")


@dataclass(slots=True)
class DefenderBehaviour:
    """
    What a test may change about Defender for Endpoint, at any time.

    Attributes:
        page_size: How many objects a page holds at most, also where ``$top`` is higher.
        next_links: Whether a page that is followed by another has an ``@odata.nextLink``. The documentation shows none;
            without it a client goes on by ``$skip``.
        empty_is_404: Whether an empty list gets a 404, as documented for machines, or with an empty list.
    """

    page_size: int = 10_000
    next_links: bool = True
    empty_is_404: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenderPages:
    """
    A collection that is read page by page, with ``$filter``, ``$top`` and ``$skip``.

    Attributes:
        context: What ``@odata.context`` calls it; its path is the same in lower case.
        objects: The objects.
        filters: The properties it can be filtered by.
        type_name: Of an object, for messages.
    """

    context: str
    objects: Objects
    filters: Mapping[str, Property]
    type_name: str

    async def page(
        self,
        request: web.Request,
        options: Mapping[str, str],
        *,
        size: int,
        skip: int,
        names: tuple[str, ...],
        next_links: bool,
    ) -> web.Response | None:
        """
        Return one page, or ``None`` if it would be empty.

        Args:
            request: The request.
            options: Its query options.
            size: How many objects it holds at most.
            skip: How many objects come before it.
            names: The properties to report.
            next_links: Whether it links to the next one.

        Raises:
            FilterError: If the filter is none.
            QueryError: If it uses an operator that is not supported.
        """
        test = None
        if "$filter" in options:
            parsed = parse_filter(options["$filter"], self.filters, self.type_name)
            for use in parsed.uses:
                if use.operator not in self.filters[use.property].operators:
                    message = f"The operator '{use.operator}' is not supported on property '{use.property}'."
                    raise QueryError(message)
            test = parsed.test(self.objects.reader)
        # $skip counts matches, not places, so what is skipped has to be read, too.
        found, following = await find_page(self.objects.selection, test, 0, skip + size)
        head: dict[str, Any] = {"@odata.context": self.link(request, f"$metadata#{self.context}")}
        if following is not None and next_links:
            query = build_query({**options, "$skip": str(skip + size)})
            head["@odata.nextLink"] = self.link(request, f"{self.context.lower()}?{query}")
        if not found[skip:]:
            return None
        return json_response(await encode_page(head, found[skip:], self.objects.projector(names)))

    def entity(self, request: web.Request, index: int) -> web.Response:
        """Return one object."""
        body = {"@odata.context": self.link(request, f"$metadata#{self.context}/$entity")}
        return json_response(body | self.objects.projector(tuple(self.objects.properties))(index))

    def link(self, request: web.Request, end: str) -> str:
        """Return a link within the service, which is named as the client named it."""
        return f"{request.scheme}://{request.host}/api/{end}"
