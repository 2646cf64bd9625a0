"""
Reading secrets with azure-keyvault-secrets, on the one pool. Import it in a worker thread: it loads azure-core.

The vault's challenge names the token's audience, and the client would get any. Here it gets a token for Key Vault and
for nothing else, so a host that is no vault gains nothing; that is stricter than the client's own check, which compares
names and knows Azure's alone.

Sources:
    https://learn.microsoft.com/en-us/python/api/azure-keyvault-secrets/azure.keyvault.secrets.aio.secretclient
    https://learn.microsoft.com/en-us/azure/key-vault/general/rest-error-codes
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self, cast

import anyio
from anyio import to_thread
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.keyvault.secrets import SecretProperties
from azure.keyvault.secrets.aio import SecretClient

from entra_async.config import Clock
from entra_async.errors import AuthenticationError, EntraError, TransportError
from entra_async.rules.sign_in.quoting import quote
from entra_async.rules.tokens.scopes import default_scope
from entra_async.transport.azure import AzureTransport
from entra_async.transport.http.pool import Pool

__all__ = ("AccessToken", "VaultReader", "VaultSecret")

_BAD: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_THROTTLED: Final = 429
_LONGEST_WAIT_S: Final = 30.0

_REMEDIES: Final = {
    "AccessDenied": "Give the reader the secret permissions Get and List in the vault's access policies.",
    "ForbiddenByPolicy": "Give the reader the secret permissions Get and List in the vault's access policies.",
    "ForbiddenByRbac": "Give the reader the role 'Key Vault Secrets User' at the vault or the secret.",
    "ForbiddenByFirewall": "Allow this address in the vault's network rules, or use its private endpoint.",
    "SecretDisabled": "Enable a version of it, or add a new one.",
    "SecretExpired": "Add a version that has not expired.",
    "SecretNotYetValid": "Add a version that is valid already, or wait.",
    "SecretNotFound": "Check secret_name=; one that was deleted can be recovered for some weeks.",
}
_BY_STATUS: Final = {
    401: "The reader's token was rejected: it must belong to the vault's tenant.",
    403: "Give the reader the permission to get and list the vault's secrets.",
    404: "Check vault_name= and secret_name=.",
    429: "There were too many requests to the vault: 4,000 in ten seconds are its limit.",
}


class AccessToken(Protocol):
    """A token as the vault's client needs it: azure-core's ``AccessTokenInfo``, and the tenant that issued it."""

    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> int: ...

    @property
    def tenant_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """
    One version of a secret.

    Attributes:
        value: The secret itself.
        content_type: As its owner set it; may be empty.
        version: The version's id.
    """

    value: str = field(repr=False)
    content_type: str
    version: str


class VaultReader:
    """
    Reads secrets of one vault. Use it with ``async with``; it keeps its token that long.

    Args:
        url: Of the vault.
        audience: The audience of a token for Key Vault.
        get_token: Returns tokens for it: ``get_token(scope, claims=…, tenant_id=…, enable_cae=…)``.
        pool: Sends its requests.
        clock: The clock to use.
        timeout_s: Seconds that one secret may take.
    """

    def __init__(
        self,
        *,
        url: str,
        audience: str,
        get_token: Callable[..., Awaitable[AccessToken]],
        pool: Pool,
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._url = url
        self._clock = clock
        self._timeout_s = timeout_s
        self._credential = _KeyVaultCredential(audience, get_token)
        self._transport = AzureTransport(pool=pool, clock=_LimitedClock(clock, url))
        self._client: SecretClient | None = None

    async def __aenter__(self) -> Self:
        # It reads the platform's name for its User-Agent, which blocks.
        self._client = await to_thread.run_sync(self._make_client)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    def _make_client(self) -> SecretClient:
        return SecretClient(
            self._url,
            # azure-core calls this one method only.
            cast("AsyncTokenCredential", self._credential),
            verify_challenge_resource=False,  # see above
            transport=self._transport,
            retry_total=3,
            retry_backoff_factor=0.5,
        )

    async def read(self, name: str) -> VaultSecret:
        """
        Return the newest version that is enabled and valid now.

        Without the permission to list versions, the newest of all is read; if it is disabled, that is an error.

        Args:
            name: Of the secret.

        Raises:
            AuthenticationError: If there is none, or the vault denies access, cannot be reached, or takes too long.
        """
        assert self._client is not None  # since __aenter__
        with anyio.move_on_after(self._timeout_s):
            try:
                return await self._read(self._client, name)
            except EntraError:
                raise
            except Exception as error:
                raise self._explain(error, name) from error
        message = f"The secret {name!r} could not be read from {self._url} within {self._timeout_s:g} s."
        raise AuthenticationError(message, hint="Check the network, or allow more with timeout_s=.")

    async def _read(self, client: SecretClient, name: str) -> VaultSecret:
        try:
            listed = [each async for each in client.list_properties_of_secret_versions(name)]
        except HttpResponseError as error:
            if error.status_code != _FORBIDDEN:
                raise
            version = None
        else:
            version = self._choose(listed, name)
        secret = await client.get_secret(name, version)
        if secret.value is None:
            message = f"The secret {name!r} of {self._url} has no value."
            raise AuthenticationError(message, hint=_REMEDIES["SecretNotFound"])
        return VaultSecret(secret.value, secret.properties.content_type or "", secret.properties.version or "")

    def _choose(self, versions: list[SecretProperties], name: str) -> str | None:
        if not versions:
            message = f"There is no secret {name!r} in {self._url}."
            raise AuthenticationError(message, status=_NOT_FOUND, hint=_REMEDIES["SecretNotFound"])
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        usable = [
            each
            for each in versions
            if each.enabled is not False
            and (each.not_before is None or each.not_before <= now)
            and (each.expires_on is None or now < each.expires_on)
        ]
        if not usable:
            message = f"The secret {name!r} of {self._url} has no version that is enabled and valid now."
            raise AuthenticationError(message, status=_FORBIDDEN, hint="Enable one, or add a new one.")
        long_ago = datetime.fromtimestamp(0, UTC)
        return max(usable, key=lambda each: (each.created_on or long_ago, each.updated_on or long_ago)).version

    def _explain(self, error: Exception, name: str) -> AuthenticationError:
        if isinstance(error, HttpResponseError) and error.status_code is not None and error.status_code >= _BAD:
            if error.status_code == _UNAUTHORIZED and self._credential.error is not None:
                return self._credential.error
            code, said = _read_error(error)
            hint = _REMEDIES.get(code) or _BY_STATUS.get(error.status_code, "Try again shortly.")
            reason = f"{error.status_code} {code}{f': {said}' if said else ''}".rstrip(". ")
            message = f"The secret {name!r} could not be read from {self._url}: {reason}."
            return AuthenticationError(message, status=error.status_code, hint=hint)
        cause = error.inner_exception if isinstance(error, AzureError) else None
        if isinstance(cause, TransportError):
            message = f"The secret {name!r} could not be requested. {cause.args[0]}"
            hint = "Try again shortly." if cause.sent else "Check vault_name=: a vault that does not exist has no host."
            return AuthenticationError(message, hint=hint)
        message = f"The secret {name!r} could not be read from {self._url}: the response is invalid."
        return AuthenticationError(message, hint="A proxy or firewall may have sent it; check proxy=.")


def _read_error(error: HttpResponseError) -> tuple[str, str]:
    body: Any = None
    with suppress(ValueError):
        body = json.loads(error.response.text()) if error.response is not None else None
    outer = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(outer, Mapping):
        return "", ""
    inner = outer.get("innererror")
    code = inner.get("code") if isinstance(inner, Mapping) else None
    said = outer.get("message")
    return quote(str(code or outer.get("code") or "")), quote(said) if isinstance(said, str) else ""


@dataclass(slots=True)
class _KeyVaultCredential:
    """Returns tokens for Key Vault, whatever audience a vault's challenge names."""

    audience: str
    get_token: Callable[..., Awaitable[AccessToken]]
    error: AuthenticationError | None = None

    async def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> AccessToken:
        wanted = [scope.removesuffix("/.default").rstrip("/") for scope in scopes]
        if wanted != [self.audience.rstrip("/")]:
            message = f"The vault requests a token for {', '.join(wanted)}, which is not allowed."
            raise AuthenticationError(message, hint=f"A vault of this cloud takes tokens for {self.audience}.")
        scope, claims = default_scope(self.audience), (options or {}).get("claims")
        more: dict[str, Any] = {"claims": claims, "enable_cae": True} if claims else {}
        token = await self.get_token(scope, **more)
        # Most vaults are in the reader's own tenant: then that token will do.
        tenant_id = (options or {}).get("tenant_id")
        if tenant_id and token.tenant_id is not None and token.tenant_id.lower() != tenant_id.lower():
            try:
                return await self.get_token(scope, tenant_id=tenant_id, **more)
            except AuthenticationError as error:
                # The client remembers challenges for the whole process: a vault that has moved names another tenant.
                self.error = error
        return token


@dataclass(frozen=True, slots=True)
class _LimitedClock:
    """A clock for azure-core that limits its waits, which are as long as the ``Retry-After`` otherwise."""

    clock: Clock
    url: str

    def now(self) -> float:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        if seconds > _LONGEST_WAIT_S:
            message = f"{self.url} throttles for {seconds:g} s."
            raise AuthenticationError(message, status=_THROTTLED, hint=_BY_STATUS[_THROTTLED])
        await self.clock.sleep(seconds)
