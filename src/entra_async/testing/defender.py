"""
The emulated Defender for Endpoint: the machines, under ``/api``.

Sources:
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machine-by-id
    https://learn.microsoft.com/en-us/defender-endpoint/api/common-errors
    https://learn.microsoft.com/en-us/defender-endpoint/api/exposed-apis-odata-samples
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from entra_async.testing.access import Access, Authorize, Unauthorized
from entra_async.testing.odata import QueryError, build_query, parse_number, parse_query
from entra_async.testing.odata_filter import EdmType, FilterError, Property
from entra_async.testing.odata_filter_parser import parse_filter
from entra_async.testing.pages import encode_page, find_page
from entra_async.testing.request_headers import HeaderError, check_headers

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory import Directory
    from entra_async.testing.throttle import Throttle

__all__ = ("DEFENDER_ROLES", "defender_application")

DEFENDER_ROLES: Final = frozenset({"Machine.Read.All", "Machine.ReadWrite.All"})
"""The app roles of Defender for Endpoint that the emulator knows."""

_SCOPES: Final = frozenset({"Machine.Read", "Machine.ReadWrite"})
_AUDIENCES: Final = frozenset(
    {"https://api.securitycenter.microsoft.com", "https://api.securitycenter.microsoft.com/"}
    | {"fc780465-2017-40d4-a0c5-307022471b92"}
)
_JSON_TYPE: Final = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
_TYPE_NAME: Final = "microsoft.windowsDefenderATP.api.Machine"
_MAX_PAGE: Final = 10_000


def _property(type_: EdmType = "String") -> Property:
    operators = (
        "eq startsWith" if type_ == "Collection(String)" else "eq ne in gt ge lt le startsWith endsWith null not"
    )
    return Property(type_, frozenset(operators.split()))


_PROPERTIES: Final[Mapping[str, Property]] = {
    "id": _property(),
    "aadDeviceId": _property(),
    "computerDnsName": _property(),
    "deviceValue": _property(),
    "exposureLevel": _property(),
    "healthStatus": _property(),
    "lastIpAddress": _property(),
    "lastSeen": _property("DateTimeOffset"),
    "machineTags": _property("Collection(String)"),
    "onboardingStatus": _property(),
    "osPlatform": _property(),
    "rbacGroupId": _property("Int32"),
    "riskScore": _property(),
    "version": _property(),
}


class _DefenderError(Exception):
    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def defender_application(
    *, directory: Directory, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
) -> web.Application:
    """
    Return Defender for Endpoint as an aiohttp application.

    Args:
        directory: Whose machines.
        authorize: Judges the access token of each request.
        clock: Dates the answers.
        throttle: Asked once per request, for the service ``"endpoint"``.
    """
    application = web.Application()
    service = _Defender(directory, authorize, clock, throttle)
    application.router.add_route("*", "/{path:.*}", service.answer)
    return application


class _Defender:
    def __init__(self, directory: Directory, authorize: Authorize, clock: EmulatorClock, throttle: Throttle) -> None:
        self._machines = directory.machines
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any request."""
        try:
            check_headers(request)
            access = self._authorize(request, _AUDIENCES)
            self._charge(access)
            response = await self._route(request, access)
        except (_DefenderError, HeaderError, Unauthorized, QueryError, FilterError) as reason:
            error = _as_defender_error(reason)
            body = {"error": {"code": error.code, "message": error.message, "target": str(uuid.uuid4())}}
            headers = {"Content-Type": _JSON_TYPE, **error.headers}
            response = web.Response(status=error.status, body=msgspec.json.encode(body), headers=headers)
        response.headers["Date"] = formatdate(self._clock.now(), usegmt=True)
        response.headers["OData-Version"] = "4.0"
        return response

    def _charge(self, access: Access) -> None:
        verdict = self._throttle.take("endpoint", str(access.claims.get("appid") or access.claims.get("azp")))
        if not verdict.allowed:
            headers = {} if verdict.retry_after is None else {"Retry-After": verdict.retry_after}
            message = "API calls quota exceeded! Please wait and retry."
            raise _DefenderError(429, "TooManyRequests", message, headers)

    async def _route(self, request: web.Request, access: Access) -> web.Response:
        path = [unquote(segment) for segment in request.rel_url.raw_path.strip("/").split("/")]
        if path[:2] != ["api", "machines"] or len(path) > 3:
            message = f"No HTTP resource was found that matches the request URI '{request.rel_url.raw_path}'."
            raise _DefenderError(404, "NotFound", message)
        if request.method != "GET":
            message = f"The requested resource does not support http method '{request.method}'."
            raise _DefenderError(405, "MethodNotAllowed", message, {"Allow": "GET"})
        needed = DEFENDER_ROLES if access.app_only else _SCOPES
        if access.roles.isdisjoint(needed):
            kind = "application permissions" if access.app_only else "delegated permissions"
            message = f"The token has none of the required {kind} ({', '.join(sorted(needed))}) to access the resource."
            raise _DefenderError(403, "Forbidden", message)
        return await self._list(request) if len(path) == 2 else self._get(request, path[2])

    def _get(self, request: web.Request, key: str) -> web.Response:
        parse_query(request.rel_url.raw_query_string, ())
        index = self._machines.find(key)
        if index is None:
            message = f"Machine {key} was not found."
            raise _DefenderError(404, "ResourceNotFound", message)
        body = {"@odata.context": _context(request, "#Machines/$entity")}
        body |= self._machines.projector(tuple(self._machines.properties))(index)
        return _json(msgspec.json.encode(body))

    async def _list(self, request: web.Request) -> web.Response:
        options = parse_query(request.rel_url.raw_query_string, ("$filter", "$top", "$skip"))
        size = parse_number("$top", options.get("$top", str(_MAX_PAGE)))
        if size > _MAX_PAGE:
            message = (
                f"The limit of '{_MAX_PAGE}' for Top query has been exceeded. "
                f"The value from the incoming request is '{size}'."
            )
            raise QueryError(message)
        skip = parse_number("$skip", options.get("$skip", "0"))
        selection, test = self._machines.selection, None
        if "$filter" in options:
            parsed = parse_filter(options["$filter"], _PROPERTIES, _TYPE_NAME)
            for use in parsed.uses:
                if use.operator not in _PROPERTIES[use.property].operators:
                    message = f"The operator '{use.operator}' is not supported on property '{use.property}'."
                    raise QueryError(message)
            test = parsed.test(self._machines.reader)
        # $skip counts matches, not places, so what is skipped has to be walked past, too.
        found, following = await find_page(selection, test, 0, skip + size)
        page = found[skip:]
        if not page:
            message = "No machines were found."
            raise _DefenderError(404, "NotFound", message)
        head: dict[str, Any] = {"@odata.context": _context(request, "#Machines")}
        if following is not None:
            query = build_query({**options, "$skip": str(skip + size)})
            head["@odata.nextLink"] = f"{_root(request)}/machines?{query}"
        return _json(await encode_page(head, page, self._machines.projector(tuple(self._machines.properties))))


def _root(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}/api"


def _context(request: web.Request, fragment: str) -> str:
    return f"{_root(request)}/$metadata{fragment}"


def _json(body: bytes | bytearray) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": _JSON_TYPE})


def _as_defender_error(reason: Exception) -> _DefenderError:
    match reason:
        case _DefenderError():
            return reason
        case HeaderError():
            return _DefenderError(reason.status, reason.code, reason.message)
        case Unauthorized():
            return _DefenderError(401, "Unauthorized", reason.message, {"WWW-Authenticate": "Bearer"})
        case FilterError() | QueryError():
            return _DefenderError(400, "ODataError", f"The query specified in the URI is not valid. {reason}")
        case _:
            raise reason
