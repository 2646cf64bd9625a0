"""
MSAL as the protocol engine, on the one pool: the only module that knows MSAL.

MSAL is synchronous, so it runs in a worker thread. The event loop sends each of its requests through the pool;
cancelling the task cancels the request, and with it MSAL's thread.

Three of MSAL's caches must not affect tokens, so each token request has an application object of its own: MSAL replays
any response that carries ``Retry-After`` (a 200 too), shares one user's 429 with the next, and replays a 400 for 60
seconds. Discovery is not sent, since the endpoints of Entra ID follow from authority and tenant; so a token takes one
request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import anyio
import msgspec
from anyio import from_thread, to_thread

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import AuthenticationError, ConfigurationError, EntraError, TransportError
from entra_async.rules.http.decoding import decode_json, first_words
from entra_async.rules.http.retry import Outcome, read_retry_after_s
from entra_async.rules.http.urls import strip_query
from entra_async.rules.sign_in.aadsts import error_for, is_transient
from entra_async.transport.http.messages import TOKEN_RESPONSE_BYTES, HTTPRequest, HTTPResponse
from entra_async.transport.http.pool import Pool
from entra_async.transport.http.retry_loop import RetryLoop
from entra_async.transport.per_loop import PerLoop
from entra_async.transport.service_time import ServiceTime

__all__ = ("Application", "MsalEngine")

_DISCOVERY: Final = "/v2.0/.well-known/openid-configuration"
_SECRETS: Final = (
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "password",
    "refresh_token",
)
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Application:
    """
    The client of a token request, and its authority.

    Attributes:
        authority: Root of the sign-in service and the tenant: ``https://login.microsoftonline.com/{tenant}``.
        client_id: The application.
        credential: Returns MSAL's ``client_credential``. Called in a worker thread for every token request, so that a
            file is read anew and an assertion is fresh. ``None`` for a public client.
        enable_cae: Whether to declare support of continuous access evaluation.
    """

    authority: str
    client_id: str
    credential: Callable[[], str | dict[str, Any]] | None = field(default=None, repr=False)
    enable_cae: bool = False

    @property
    def token_endpoint(self) -> str:
        """The URL of the token endpoint."""
        return f"{self.authority}/oauth2/v2.0/token"


@dataclass(slots=True)
class _MsalResponse:
    """A response as MSAL expects it of an HTTP client."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Do nothing: the errors that MSAL would raise for are raised before it sees them."""


class _HttpClient:
    """MSAL's ``http_client``: called in its worker thread, it sends on the event loop."""

    def __init__(
        self, pool: Pool, retry_loop: RetryLoop, time: ServiceTime, clock: Clock, *, authority: str, idempotent: bool
    ) -> None:
        self._time = time
        self._authority = authority
        self._idempotent = idempotent
        self._pool = pool
        self._retry_loop = retry_loop
        self._clock = clock
        self._secrets: set[str] = set()
        self.status: int | None = None

    def get(self, url: str, params: Any = None, headers: Mapping[str, str] | None = None, **_: Any) -> _MsalResponse:
        if url.endswith(_DISCOVERY):
            return _MsalResponse(200, msgspec.json.encode(_describe(url.removesuffix(_DISCOVERY))).decode(), {})
        query = urlencode(params or {})
        return self._send_from_thread(HTTPRequest("GET", f"{url}?{query}" if query else url, dict(headers or {})))

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> _MsalResponse:
        query = urlencode(params or {})
        if isinstance(data, Mapping):
            self._secrets.update(str(data[name]) for name in _SECRETS if data.get(name))
        # As requests does it, MSAL's usual client: what is None is not sent.
        body = data if isinstance(data, str) else urlencode({k: v for k, v in (data or {}).items() if v is not None})
        sent = {"Content-Type": _FORM, **(headers or {})}
        return self._send_from_thread(HTTPRequest("POST", f"{url}?{query}" if query else url, sent, body.encode()))

    def close(self) -> None:
        """Do nothing: the pool belongs to the Session."""

    def _send_from_thread(self, request: HTTPRequest) -> _MsalResponse:
        request.url, request.response_bytes = self._check_host(request.url), TOKEN_RESPONSE_BYTES
        response = from_thread.run(self._send_with_retries, request)
        return _MsalResponse(response.status, response.body.decode("utf-8", "replace"), response.headers)

    def _check_host(self, url: str) -> str:
        wanted, own = urlsplit(url), urlsplit(self._authority)
        if (wanted.scheme, wanted.hostname) != (own.scheme, own.hostname):
            # WS-Trust: MSAL would take the password to a server that a response names.
            message = f"The user's domain is federated: {strip_query(url)} would sign the user in."
            raise AuthenticationError(
                message, hint="Sign in with Browser or DeviceCode.", attempts=self._retry_loop.made
            )
        # MSAL forgets the port when it asks for the user's realm.
        return wanted._replace(netloc=own.netloc).geturl()

    async def _send_with_retries(self, request: HTTPRequest) -> HTTPResponse:
        try:
            response = await self._retry_loop.run(
                lambda: self._send(request),
                request=request,
                idempotent=self._idempotent,
                judge=self._judge,
            )
        except TransportError as error:
            message = f"{error.args[0]} The token request failed."
            raise AuthenticationError(message, hint=error.hint, attempts=self._retry_loop.made) from error
        self.status = response.status
        body = _decode(response)
        # MSAL logs a body that is no JSON, and raises for 5xx without the body's message.
        if body is None:
            where = strip_query(request.url)
            kind = response.headers.get("Content-Type", "no content type").partition(";")[0]
            words = first_words(self._mask_text(response.body.decode("utf-8", "replace")))
            message = f"{where} answered {response.status} with {kind} instead of the JSON of a token service"
            message = f"{message}: {words!r}." if words else f"{message}."
            hint = "Check authority= and proxy=: a proxy, firewall or captive portal may have sent it."
            raise AuthenticationError(message, status=response.status, hint=hint, attempts=self._retry_loop.made)
        if response.status >= 500:
            raise error_for(status=response.status, body=self.mask(body), attempts=self._retry_loop.made)
        return response

    async def _send(self, request: HTTPRequest) -> HTTPResponse:
        sent_at = self._clock.now()
        response = await self._pool.send(request, within_s=self._retry_loop.left_s())
        self._time.observe(response.headers, sent_at=sent_at)
        return response

    def mask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return an error's body without the secrets that were sent, should the service repeat them."""
        return {**body, "error_description": self._mask_text(str(body.get("error_description", "")))}

    def _mask_text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _judge(self, response: HTTPResponse) -> Outcome:
        wait_s = read_retry_after_s(response.headers, now=self._clock.now())
        if response.status == 400 and is_transient(400, _decode(response) or {}):
            return Outcome(503, retry_after_s=wait_s)
        return Outcome(response.status, retry_after_s=wait_s)


def _decode(response: HTTPResponse) -> dict[str, Any] | None:
    try:
        body = decode_json(response.body)
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


def _describe(authority: str) -> dict[str, str]:
    return {
        "issuer": f"{authority}/v2.0",
        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        "token_endpoint": f"{authority}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
    }


class MsalEngine:
    """
    Runs MSAL's flows in worker threads.

    Args:
        pool: Sends MSAL's requests.
        clock: The clock to use.
        policy: When a request is sent again.
        threads: How many token requests may be in flight at once; each needs a thread.

    Attributes:
        time: The token service's time, from its responses.
    """

    def __init__(self, *, pool: Pool, clock: Clock, policy: RetryPolicy, threads: int) -> None:
        self._pool = pool
        self._clock = clock
        self._policy = policy
        self._threads: Final = PerLoop(lambda: anyio.CapacityLimiter(threads))
        self.time: Final = ServiceTime(clock)

    async def run(
        self, application: Application, flow: Callable[[Any], dict[str, Any]], *, once: bool = False
    ) -> dict[str, Any]:
        """
        Run one step of an MSAL flow and return what MSAL returns, unless that is an error.

        Args:
            application: The client.
            flow: Called in a worker thread with the ``msal`` application; returns MSAL's result.
            once: ``True`` if the step spends something that is good for one use, such as an authorization code: then
                a request that may have arrived is not sent again.

        Raises:
            AuthenticationError: If the token service returns an error or something else, or cannot be reached.
            ConfigurationError: If the credential cannot be made, or MSAL rejects the arguments.
        """
        retry_loop = RetryLoop(policy=self._policy, clock=self._clock)
        client = _HttpClient(
            self._pool, retry_loop, self.time, self._clock, authority=application.authority, idempotent=not once
        )
        result = await to_thread.run_sync(_run, application, client, flow, limiter=self._threads.get())
        if "error" in result:
            raise error_for(status=client.status, body=client.mask(result), attempts=retry_loop.made)
        return result


def _run(application: Application, client: _HttpClient, flow: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    import msal  # type: ignore[import-untyped]  # here, so that it is loaded in a worker thread and only when needed

    credential = application.credential() if application.credential is not None else None
    # The broker is the cache; and MSAL's cache logs codes and assertions.
    cache = msal.TokenCache()
    cache.add = lambda *_, **__: None
    settings: dict[str, Any] = {
        "token_cache": cache,
        "authority": application.authority,
        "instance_discovery": False,
        "http_client": client,
        "client_capabilities": ["CP1"] if application.enable_cae else None,
    }
    try:
        if credential is None:
            app = msal.PublicClientApplication(application.client_id, **settings)
        else:
            # False: MSAL_FORCE_REGION in the environment would move sign-ins to another host than the authority's.
            app = msal.ConfidentialClientApplication(
                application.client_id, client_credential=credential, azure_region=False, **settings
            )
        result: dict[str, Any] = flow(app)
    except EntraError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        if client.status is None:
            # MSAL's own checks; their messages name the parameter, never its value.
            message = f"MSAL rejected the request: {error}"
            raise ConfigurationError(message, hint="Check the scopes and claims of the call.") from None
        message = "The response is not one of Entra ID's token service."
        hint = "Check authority=: this may not be a token service of Entra ID."
        raise AuthenticationError(message, status=client.status, hint=hint) from None
    if "error" in result and credential and isinstance(credential, str):
        # Should a token service repeat the secret, it must not get into the error.
        said = str(result.get("error_description", ""))
        result = {**result, "error_description": said.replace(credential, "***")}
    return result
