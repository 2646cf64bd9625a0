"""One request to a token endpoint, read as strictly as Entra ID reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

__all__ = ("TokenEndpointRequest", "parse_claims", "read_token_request")

_GRANT_PARAMETERS: Final = (
    *("code", "redirect_uri", "code_verifier", "refresh_token", "device_code", "username", "password"),
    *("assertion", "requested_token_use"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpointRequest:
    """
    A token request: the parameters a client sent to the token endpoint.

    Attributes:
        version: ``1`` for ``/oauth2/token`` (``resource``), ``2`` for ``/oauth2/v2.0/token`` (``scope``).
        tenant: The tenant as the URL names it: GUID, domain or alias.
        url: The URL called, without query.
        form: The fields sent, without the empty ones: Entra ID treats those as missing.
        authorization: The ``Authorization`` header, or an empty text.
        origin: The ``Origin`` header, or an empty text.
        claims: The decoded ``claims`` field; empty when it was not sent.
        now: When it arrived, epoch seconds.
    """

    version: int
    tenant: str
    url: str
    form: Mapping[str, str] = field(repr=False)
    authorization: str = field(repr=False)
    origin: str
    claims: Mapping[str, Any]
    now: float

    def required(self, name: str) -> str:
        """
        Return the field of that name.

        Raises:
            AadstsError: If it is missing.
        """
        value = self.form.get(name)
        if value is None:
            raise AadstsError(900144, parameter=name)
        return value

    def check_grant_parameters(self, *own: str) -> None:
        """
        Check that no parameter of another grant is among the fields.

        Such a request mistakes the flow, or leaks a user's secret.

        Args:
            own: The parameters of this grant.

        Raises:
            AadstsError: 9002313 if there is one.
        """
        unexpected = next((name for name in _GRANT_PARAMETERS if name in self.form and name not in own), None)
        if unexpected is not None:
            raise AadstsError(9002313, reason=f"The grant type '{self.form['grant_type']}' takes no '{unexpected}'.")

    @property
    def authority(self) -> str:
        """Root of the sign-in service as it was called, without a trailing slash."""
        return "/".join(self.url.split("/")[:3])

    @property
    def requested_claims(self) -> Mapping[str, Any]:
        """What ``claims`` requests of the access token, capabilities of the client (``xms_cc``) included."""
        access_token = self.claims.get("access_token")
        return access_token if isinstance(access_token, dict) else {}


async def read_token_request(request: web.Request, *, version: int, now: float) -> TokenEndpointRequest:
    """
    Return *request* as a token request.

    Raises:
        AadstsError: If it is not a POST of a form, or the form is malformed.
    """
    if request.method != "POST":
        raise AadstsError(900561, method=request.method)
    # A body of another media type is not read at all: its fields are missing, which is what Entra ID complains about.
    is_form = request.content_type == "application/x-www-form-urlencoded"
    form = _parse_form(await request.read()) if is_form else {}
    return TokenEndpointRequest(
        version=version,
        tenant=request.match_info["tenant"],
        url=f"https://{request.host}{request.path}",
        form=form,
        authorization=request.headers.get("Authorization", ""),
        origin=request.headers.get("Origin", ""),
        claims=parse_claims(form.get("claims")),
        now=now,
    )


def _parse_form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise AadstsError(9002313, reason="The body is not UTF-8.") from error
    form = dict(fields)
    if len(form) != len(fields):
        # RFC 6749, section 3.2: parameters must not be included more than once.
        raise AadstsError(9002313, reason="A parameter is given more than once.")
    return {name: value for name, value in form.items() if value}


def parse_claims(text: str | None) -> dict[str, Any]:
    """
    Return the ``claims`` parameter decoded; empty if it was not sent.

    Raises:
        AadstsError: 9002313 if it is not a JSON object.
    """
    if text is None:
        return {}
    try:
        claims = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AadstsError(9002313, reason="The 'claims' parameter is not JSON.") from error
    if not isinstance(claims, dict):
        raise AadstsError(9002313, reason="The 'claims' parameter is not a JSON object.")
    return claims
