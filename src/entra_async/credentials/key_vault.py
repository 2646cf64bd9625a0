"""Sign in as an application whose secret or certificate is in an Azure Key Vault."""

from __future__ import annotations

import base64
import binascii
import importlib
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from entra_async.credentials.certificate import Certificate
from entra_async.credentials.client_secret import ClientSecret
from entra_async.credentials.external import ExternalCredential
from entra_async.credentials.provider import Provider, SignInContext
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.rules.http.urls import expand
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_client_id
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

if TYPE_CHECKING:
    from entra_async.transport.key_vault import VaultReader, VaultSecret

__all__ = ("KeyVault",)

# https://learn.microsoft.com/en-us/azure/key-vault/general/about-keys-secrets-certificates#vault-name-and-object-name
_VAULT_NAME: Final = re.compile(r"(?=.{3,24}$)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_SECRET_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
_SERVICE: Final = "AzureKeyVault"
_PKCS12: Final = "application/x-pkcs12"
_PEM: Final = "application/x-pem-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVault:
    """
    An application that authenticates with a secret or certificate of a Key Vault, read anew for every token.

    A secret of the content type ``application/x-pkcs12`` or ``application/x-pem-file``, which the vault sets for its
    certificates, is a certificate with its key; every other one is a client secret. Of several versions the newest is
    read that is enabled and valid.

    The vault is read with the Session's connection to ``AzureKeyVault``; if there is none, with *credential*; without
    one, with the account signed in to the Azure CLI.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, or one of its domains.
        vault_name: The vault's name, not its URL.
        secret_name: Name of the secret or certificate in the vault. Of several, the first that signs in is used: one
            that Entra ID refuses (``invalid_client``) is passed over, any other failure is raised.
        credential: Reads the vault: a provider, or whatever ``connect`` takes as a credential. It stays the caller's.
        send_x5c: Send a certificate and its chain along, for applications that trust its subject name and issuer.
        timeout_s: Seconds that reading one secret may take.

    Raises:
        ConfigurationError: If a value is missing or malformed.

    Sources:
        https://learn.microsoft.com/en-us/azure/key-vault/secrets/about-secrets
        https://learn.microsoft.com/en-us/azure/key-vault/certificates/about-certificates
    """

    client_id: str
    tenant_id: str
    vault_name: str
    secret_name: str | tuple[str, ...]
    credential: Any = field(default=None, repr=False)
    send_x5c: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_app_tenant_id(self.tenant_id)
        if not isinstance(self.vault_name, str) or not _VAULT_NAME.fullmatch(self.vault_name):
            message = f"vault_name is {self.vault_name!r}, which no vault can have."
            hint = "Give its name alone, not its URL: 3 to 24 letters, digits and single hyphens."
            raise ConfigurationError(message, field="vault_name", hint=hint)
        if isinstance(self.secret_name, list):
            object.__setattr__(self, "secret_name", tuple(self.secret_name))
        names = self.secret_names
        if not names or any(not isinstance(name, str) or not _SECRET_NAME.fullmatch(name) for name in names):
            message = f"secret_name is {self.secret_name!r}, which no secret can have."
            hint = "Give one name or several, each of letters, digits and hyphens; without a version."
            raise ConfigurationError(message, field="secret_name", hint=hint)
        if self.credential is not None and not _is_provider(self.credential):
            try:
                object.__setattr__(self, "credential", ExternalCredential(credential=self.credential))
            except ConfigurationError as error:
                error.field = "credential"
                raise
        if not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0:
            message = f"timeout_s is {self.timeout_s!r}."
            raise ConfigurationError(message, field="timeout_s", hint="Give a number greater than zero.")

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names, one or several."""
        return self.secret_name if isinstance(self.secret_name, tuple) else (self.secret_name,)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return _KeyVaultSource(self, context)


def _is_provider(credential: object) -> bool:
    return isinstance(credential, Provider) and not isinstance(credential, type)


# The sources whose token requests led to this one.
_REQUESTING: ContextVar[tuple[object, ...]] = ContextVar("entra_async_requesting", default=())


class _KeyVaultSource:
    """The token source of an application whose credential is in a vault."""

    def __init__(self, provider: KeyVault, context: SignInContext) -> None:
        self._provider = provider
        self._context = context
        self._reader: TokenSource | None = provider.credential.open(context) if provider.credential else None

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token; see :class:`entra_async.tokens.source.TokenSource`."""
        earlier = _REQUESTING.set((*_REQUESTING.get(), self))
        try:
            return await self._get_token(*scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae)
        finally:
            _REQUESTING.reset(earlier)

    async def _get_token(self, *scopes: str, claims: str | None, tenant_id: str | None, enable_cae: bool) -> Token:
        refusals: list[AuthenticationError] = []
        async with await self._open_vault() as vault:
            for name in self._provider.secret_names:
                source = self._provider_of(name, await vault.read(name)).open(self._context)
                try:
                    return await source.get_token(*scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae)
                except AuthenticationError as error:
                    if error.error != "invalid_client":
                        raise
                    refusals.append(error)
                except ConfigurationError as error:
                    raise self._unusable(name, error) from error
                finally:
                    await source.aclose()
        refusal = refusals[0]
        if len(refusals) > 1:
            names = ", ".join(self._provider.secret_names)
            refusal.args = (f"None of {names} of the vault {self._provider.vault_name!r} signs in. {refusal.args[0]}",)
        raise refusal

    async def _open_vault(self) -> VaultReader:
        cloud = self._context.cloud
        # A cloud of one's own may have one vault only, and so no name in its URL.
        parameters = {"VaultName": self._provider.vault_name} if "%" in cloud.key_vault.url else {}
        module = await to_thread.run_sync(importlib.import_module, "entra_async.transport.key_vault")
        reader: VaultReader = module.VaultReader(
            url=expand(cloud.key_vault.url, parameters),
            audience=cloud.key_vault.audience,
            get_token=self._find_get_token(),
            pool=self._context.pool,
            clock=self._context.clock,
            timeout_s=self._provider.timeout_s,
        )
        return reader

    def _find_get_token(self) -> Callable[..., Awaitable[Token]]:
        connected = self._context.connected(_SERVICE)
        if connected is not None and not self._is_own(connected):
            return connected
        if self._reader is None:
            from entra_async.credentials.developer_tools import AzureCli

            self._reader = AzureCli().open(self._context)
        return self._reader.get_token

    def _is_own(self, get_token: Callable[..., Awaitable[Token]]) -> bool:
        # A connection to AzureKeyVault may itself be signed in from the vault, by this source or by one that reads its
        # own vault with this one: its token request would wait for itself for ever.
        account = getattr(getattr(get_token, "__self__", None), "account", None)
        return getattr(account, "source", None) in _REQUESTING.get()

    def _provider_of(self, name: str, secret: VaultSecret) -> Provider:
        client_id, tenant_id = self._provider.client_id, self._provider.tenant_id
        kind = secret.content_type.partition(";")[0].strip().lower()
        try:
            if kind in (_PKCS12, _PEM):
                data = secret.value.encode()
                if kind == _PKCS12 and b"-----BEGIN" not in data:
                    data = base64.b64decode(b"".join(data.split()), validate=True)
                return Certificate(
                    client_id=client_id, tenant_id=tenant_id, data=data, send_x5c=self._provider.send_x5c
                )
            return ClientSecret(client_id=client_id, tenant_id=tenant_id, client_secret=secret.value)
        except binascii.Error:
            message = f"The certificate {name!r} of the vault {self._provider.vault_name!r} is no base64 text."
            raise AuthenticationError(message, hint="Import it into the vault as a certificate.") from None
        except ConfigurationError as error:
            raise self._unusable(name, error) from error

    def _unusable(self, name: str, error: ConfigurationError) -> AuthenticationError:
        message = f"What the vault {self._provider.vault_name!r} holds as {name!r} cannot be used. {error.args[0]}"
        hint = error.hint
        if "private key" in str(error.args[0]):
            hint = "Its policy must let the key be exported; and let the reader read secrets, not certificates."
        return AuthenticationError(message, hint=hint)

    async def aclose(self) -> None:
        """Close the vault's token source, if it is not a connection."""
        if self._reader is not None:
            await self._reader.aclose()
