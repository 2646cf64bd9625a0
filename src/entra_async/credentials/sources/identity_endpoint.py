"""The token source of a managed identity: one request to the host's endpoint on the pool, two at Azure Arc."""

from __future__ import annotations

import hashlib
import stat
import sys
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any, Final

import msgspec
from anyio import to_thread

from entra_async.config import RetryPolicy
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.issued_tenant import check_issued_tenant
from entra_async.errors import AuthenticationError, CredentialUnavailableError, TransportError
from entra_async.rules.http.retry import Outcome, read_retry_after_s
from entra_async.rules.sign_in.managed_identity import HostKind, IdentityHost, arc_host
from entra_async.rules.sign_in.managed_identity_response import host_error_for, read_token, retry_wait_s
from entra_async.rules.tokens.scopes import resource_of
from entra_async.tokens.token import Token
from entra_async.transport.http.messages import TOKEN_RESPONSE_BYTES, BypassProxy, HTTPRequest, HTTPResponse
from entra_async.transport.http.retry_loop import RetryLoop
from entra_async.transport.thumbprint import pin_certificate

__all__ = ("IdentityEndpoint",)

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_SERVICE_UNAVAILABLE: Final = 503
_CONNECT_S: Final = 2.0  # next door: a host that is there answers at once
_RESPONSE_S: Final = 20.0
_PROBE_S: Final = 0.8
_MAX_TIMEOUTS: Final = 3
_KEY_BYTES: Final = 4096
_LARGEST: Final = 1 << 20


def _key_folder() -> Path:
    """Return where the agent of Azure Arc keeps its keys, readable for its group alone."""
    if sys.platform == "win32":
        return Path(environ.get("PROGRAMDATA", r"C:\ProgramData")) / "AzureConnectedMachineAgent" / "Tokens"
    return Path("/var/opt/azcmagent/tokens")


def _agent_program() -> Path:
    """Return the agent's program: a machine that has it is connected to Azure Arc, whatever the environment says."""
    if sys.platform == "win32":
        return Path(environ.get("PROGRAMFILES", r"C:\Program Files")) / "AzureConnectedMachineAgent" / "himds.exe"
    return Path("/opt/azcmagent/bin/himds")


@dataclass(slots=True)
class IdentityEndpoint:
    """
    Requests tokens of a managed identity.

    Attributes:
        context: What the Session provides.
        host: The host's endpoint.
        identity_id: Which identity, or ``None`` for the host's own.
        identity_type: What *identity_id* is.
        timeout_s: Seconds one token request may take in all.
        in_chain: Whether another credential is tried next: then an absent host must fail at once.
    """

    context: SignInContext
    host: IdentityHost
    identity_id: str | None
    identity_type: str
    timeout_s: float
    in_chain: bool = False
    _probed: bool = False
    _pin: bytes | None = field(default=None, repr=False)
    _issued: dict[str, str] = field(default_factory=dict, repr=False)

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token of the identity; see :class:`entra_async.tokens.source.TokenSource`."""
        resource = resource_of(scopes)
        if not self._probed:
            await self._find()
        extra = dict(self.host.select(self.identity_id, self.identity_type))
        if self.host.kind is HostKind.SERVICE_FABRIC:
            # The only host that takes the hash of a cached token that was revoked.
            if claims is not None and resource in self._issued:
                extra["token_sha256_to_refresh"] = self._issued[resource]
            if enable_cae:
                extra["xms_cc"] = "CP1"
        requested_at = self.context.clock.now()
        body, text = await self._request(resource, extra)
        found = read_token(self.host, body, requested_at=requested_at, text=text)
        self._check_identity(body)
        token = Token(found.token, found.expires_on, found.refresh_on, found.token_type)
        check_issued_tenant(token, tenant_id, hint="A managed identity signs in to its own tenant only.")
        if self.host.kind is HostKind.SERVICE_FABRIC:
            self._issued[resource] = hashlib.sha256(token.token.encode()).hexdigest()
        return token

    async def aclose(self) -> None:
        """Do nothing: it holds no resources."""

    async def _find(self) -> None:
        if self.host.kind is HostKind.VIRTUAL_MACHINE:
            if await to_thread.run_sync(_agent_program().is_file):
                self.host = arc_host()
            elif self.in_chain:
                await self._probe()
        self._probed = True

    async def _probe(self) -> None:
        # Without its required header, IMDS refuses at once instead of requesting a token from Entra ID first.
        request = HTTPRequest(
            "GET",
            self.host.endpoint,
            bypass_proxy=BypassProxy(connect_s=_PROBE_S),
            response_bytes=TOKEN_RESPONSE_BYTES,
        )
        try:
            await self.context.pool.send(request, within_s=_PROBE_S)
        except TransportError as error:
            raise self._unavailable(error, attempts=1) from error

    async def _request(self, resource: str, extra: dict[str, str]) -> tuple[dict[str, Any], str]:
        method, url, body = self.host.token_request(resource, extra)
        request = HTTPRequest(
            method,
            url,
            dict(self.host.headers),
            body,
            bypass_proxy=BypassProxy(connect_s=_CONNECT_S),
            response_bytes=TOKEN_RESPONSE_BYTES,
        )
        tries = 6 if self.host.kind is HostKind.VIRTUAL_MACHINE else 4
        attempts = RetryLoop(
            policy=RetryPolicy(max_attempts=tries, base_delay_s=0.8, deadline_s=self.timeout_s),
            clock=self.context.clock,
        )
        timeouts = 0

        async def send() -> HTTPResponse:
            nonlocal timeouts
            try:
                return await self._send(request, within_s=min(attempts.left_s(), _RESPONSE_S))
            except TransportError as error:
                timeouts += 1
                if timeouts == _MAX_TIMEOUTS:
                    raise self._unavailable(error, attempts=attempts.made) from error
                raise

        def judge(response: HTTPResponse) -> Outcome:
            wait_s = read_retry_after_s(response.headers, now=self.context.clock.now())
            delay_s = retry_wait_s(self.host, response.status, attempt=attempts.made)
            if delay_s is None:
                return Outcome(response.status, retry_after_s=wait_s)
            return Outcome(_SERVICE_UNAVAILABLE, retry_after_s=max(delay_s, wait_s or 0.0))

        try:
            response = await attempts.run(send, request=request, idempotent=True, judge=judge)
        except TransportError as error:
            raise self._unavailable(error, attempts=attempts.made) from error
        decoded = _decode(response)
        text = response.body[:_LARGEST].decode("utf-8", "replace")
        if response.status != _OK:
            raise host_error_for(self.host, status=response.status, body=decoded, text=text, attempts=attempts.made)
        return decoded, text  # type: ignore[return-value]  # read_token refuses what is no object

    async def _send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        if self.host.kind is HostKind.ARC:
            return await self._send_with_key(request, within_s=within_s)
        if self.host.thumbprint is not None:
            try:
                if self._pin is None:
                    self._pin = await pin_certificate(
                        self.host.endpoint, thumbprint=self.host.thumbprint, within_s=_CONNECT_S
                    )
                request.bypass_proxy = BypassProxy(connect_s=_CONNECT_S, certificate_sha256=self._pin)
                return await self.context.pool.send(request, within_s=within_s)
            except TransportError:
                self._pin = None
                raise
        return await self.context.pool.send(request, within_s=within_s)

    async def _send_with_key(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """Answer the agent's challenge with the content of the key file that it names, which is valid once."""
        challenge = await self.context.pool.send(request, within_s=within_s)
        if challenge.status != _UNAUTHORIZED:
            return challenge
        key = await to_thread.run_sync(_read_key, challenge.headers.get("WWW-Authenticate", ""), _key_folder())
        authorized = HTTPRequest(
            request.method,
            request.url,
            {**request.headers, "Authorization": f"Basic {key}"},
            bypass_proxy=request.bypass_proxy,
            response_bytes=TOKEN_RESPONSE_BYTES,
        )
        return await self.context.pool.send(authorized, within_s=within_s)

    def _check_identity(self, body: dict[str, Any]) -> None:
        # An old agent ignores the requested identity and returns the machine's; a new one names the token's identity.
        if self.host.kind is not HostKind.ARC or self.identity_id is None:
            return
        (name,) = self.host.select(self.identity_id, self.identity_type)
        confirmed = body.get(name) or (body.get("mi_res_id") if name == "msi_res_id" else None)
        if str(confirmed).lower() != self.identity_id.lower():
            message = "The agent of Azure Arc did not confirm the requested identity."
            hint = "It may be too old for user-assigned identities: update it, or leave identity_id out."
            raise AuthenticationError(message, hint=hint)

    def _unavailable(self, error: TransportError, *, attempts: int) -> CredentialUnavailableError:
        message = f"No managed identity here: {self.host.kind.value} gave no answer. {error.args[0]}"
        if self.host.kind is HostKind.VIRTUAL_MACHINE:
            hint = (
                "Only a virtual machine in Azure has one. There, check that a firewall, a route or a network policy of"
                " the container lets it reach 169.254.169.254; elsewhere, sign in with AzureCli or as an application."
            )
        else:
            hint = "See that it runs, and that the environment variables are those of this host."
        return CredentialUnavailableError(message, hint=hint, attempts=attempts)


def _decode(response: HTTPResponse) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None


def _read_key(challenge: str, folder: Path) -> str:
    """Return the content of the file that a challenge names; runs in a worker thread."""
    scheme, _, name = challenge.partition("=")
    path = Path(name.strip())
    hint = "The agent of Azure Arc names a file of its own; see what answers in its place."
    if scheme.strip().lower() != "basic realm" or not name.strip():
        message = "Azure Arc named no key file."
        raise AuthenticationError(message, status=_UNAUTHORIZED, hint=hint)
    # Else whoever answers on that port could have any file of this user read and sent.
    if path.parent != folder or path.suffix != ".key" or path.name in {".key", "..key"}:
        message = f"Azure Arc named a key file outside of {folder}, which is not read."
        raise AuthenticationError(message, status=_UNAUTHORIZED, hint=hint)
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _KEY_BYTES:
            message = f"The key file of Azure Arc is no file of at most {_KEY_BYTES} bytes."
            raise AuthenticationError(message, status=_UNAUTHORIZED, hint=hint)
        key = path.read_text("ascii").strip()
    except PermissionError as error:
        message = f"The key file of Azure Arc in {folder} cannot be read."
        hint = "Add the user to the group himds (Linux), or run as administrator (Windows)."
        raise CredentialUnavailableError(message, status=_UNAUTHORIZED, hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"The key file of Azure Arc in {folder} cannot be read."
        raise AuthenticationError(message, status=_UNAUTHORIZED, hint=hint) from error
    if not key or not key.isprintable():
        message = "The key file of Azure Arc holds no key."
        raise AuthenticationError(message, status=_UNAUTHORIZED, hint=hint)
    return key
