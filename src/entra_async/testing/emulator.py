"""The emulator: a Microsoft Entra tenant and the services that trust it, on loopback, until a block ends."""

from __future__ import annotations

import asyncio
import secrets
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from cryptography import x509

from entra_async.clouds import Cloud, Endpoint
from entra_async.testing.arm.application import AZURE_RESOURCE_MANAGER, arm_application
from entra_async.testing.arm.arm import Arm
from entra_async.testing.browser.scripted_browser import ScriptedBrowser
from entra_async.testing.clock import EmulatorClock
from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.crypto.signing import SigningKey
from entra_async.testing.defender.endpoint import DEFENDER_FOR_ENDPOINT, defender_application
from entra_async.testing.defender.pages import DefenderBehaviour
from entra_async.testing.defender.xdr import DEFENDER_XDR, defender_xdr_application
from entra_async.testing.developer_tools.server import run_developer_tools
from entra_async.testing.directory.directory import Directory
from entra_async.testing.directory.security_records import SecurityRecords
from entra_async.testing.drives.drives import Drives
from entra_async.testing.drives.file_origin import file_origin_application
from entra_async.testing.entra.accounts import Accounts, User
from entra_async.testing.entra.app_registrations import App
from entra_async.testing.entra.external_issuer import ExternalIssuer
from entra_async.testing.entra.identity import identity_application
from entra_async.testing.entra.tenant import Tenant
from entra_async.testing.entra.tokens.access import AccessTokenVerifier
from entra_async.testing.entra.tokens.access_evaluation import AccessEvaluation
from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer, TokenLifetimes
from entra_async.testing.faults.faults import Faults
from entra_async.testing.graph.application import graph_application
from entra_async.testing.graph.behaviour import GraphBehaviour
from entra_async.testing.graph.permissions import MICROSOFT_GRAPH
from entra_async.testing.hunting.hunting import Hunting
from entra_async.testing.key_vault.application import AZURE_KEY_VAULT, key_vault_application
from entra_async.testing.key_vault.vault import Vault
from entra_async.testing.limits.throttle import Throttle
from entra_async.testing.managed_identity.server import run_host
from entra_async.testing.server.certificate_authority import CertificateAuthority
from entra_async.testing.server.listener import Listener
from entra_async.testing.wire.record import RecordedRequest, RequestLog
from entra_async.testing.wire.single_use import SingleUseContext

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager, AsyncExitStack
    from typing import Unpack

    from entra_async import Certificate, ClientSecret
    from entra_async.session import Session
    from entra_async.testing.crypto.keys import KeyPair
    from entra_async.testing.developer_tools.tools import DeveloperTools
    from entra_async.testing.entra.app_registrations import AppRegistration
    from entra_async.testing.managed_identity.host import AzureHost, HostKind

__all__ = ("Emulator",)

_RESOURCE_SERVERS: Final = (
    MICROSOFT_GRAPH,
    AZURE_RESOURCE_MANAGER,
    AZURE_KEY_VAULT,
    DEFENDER_FOR_ENDPOINT,
    DEFENDER_XDR,
)
_TOKEN_PATH: Final = r"/[^/]+/oauth2(/v2\.0)?/token"


class Emulator(SingleUseContext):
    """
    A strict local tenant: Entra ID, Microsoft Graph, Azure, Key Vault and Defender, over TLS on loopback.

    Each service has a port, and so an origin, of its own. Tokens are signed, secrets and certificates are checked, and
    what Microsoft rejects is rejected here. An emulator is used for one block; nothing of it is left afterwards.

    Attributes:
        clock: The emulator's time; move it instead of waiting.
        faults: Inject faults.
        requests: What arrived, with secrets masked.
        throttle: The hard limits of the services; off unless a test sets one.
        access_evaluation: Which access tokens are revoked before they expire, and the form of the challenge.
        arm: Azure Resource Manager: its resources, role assignments and operations.
        drives: The users' drives: what is stored, how transfers and copies go.
        graph: How Graph pages and reports changes: page size, lifetime of links, irregularities.
        defender: How Defender for Endpoint pages.
        hunting: Runs hunting queries, and says how long they take.
        token_lifetimes: How long tokens live.
        domain: The tenant's verified domain, usable in place of its GUID.
        directory: The users, groups and machines, to read and change from Python.
        user: A user with a password; change it to provoke an error.
        vault: The Key Vault: its secrets, and who may read them.
        browser: Signs users in on the real pages.
        external_issuer: Another issuer, whose tokens an app with a federated credential may sign in with.

    Args:
        users: How many users the directory holds; the first is ``ada@{domain}``.
        groups: How many groups it holds.
        machines: How many machines Defender knows.
        domain: The tenant's verified domain.
        token_lifetime_s: Seconds an access token lives. Unless given, as long as Entra ID's do: 3599, and 86399 for
            clients that declare to handle claims challenges.
        page_delay_s: Seconds Graph and Defender take before each response, a page for example.

    Example::

        async with Emulator() as emulator, emulator.session() as session:
            await session.connect(emulator.client_secret)
            users = await session.invoke("users")
    """

    def __init__(
        self,
        *,
        users: int = 200,
        groups: int = 20,
        machines: int = 50,
        domain: str = "contoso.com",
        token_lifetime_s: int | None = None,
        page_delay_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.clock = EmulatorClock()
        self.faults = Faults()
        self.requests = RequestLog()
        self.throttle = Throttle(self.clock)
        self.graph = GraphBehaviour()
        self.defender = DefenderBehaviour()
        self.arm = Arm(self.clock)
        self.access_evaluation = AccessEvaluation(self.clock)
        self.token_lifetimes = TokenLifetimes()
        if token_lifetime_s is not None:
            self.token_lifetimes = TokenLifetimes(access_s=token_lifetime_s, cae_access_s=token_lifetime_s)
        self.domain = domain
        self.vault = Vault(clock=self.clock)
        self._tenant = Tenant(domain=domain, resource_servers=_RESOURCE_SERVERS)
        self.directory = Directory(
            domain=domain, tenant_id=self._tenant.id, users=users, groups=groups, machines=machines
        )
        self._records = SecurityRecords(self.directory)
        self.hunting = Hunting(self.directory, self._records)
        self.drives = Drives(self.clock, self.directory)
        self._accounts = Accounts(self.directory, self.clock)
        self.user = self._accounts.give_password(0)
        self._page_delay_s = page_delay_s
        self._listeners: dict[str, Listener] = {}
        self._folder = Path()
        self._certificate_password = secrets.token_urlsafe(16)

    def _url(self, service: str) -> str:
        self._check_entered()
        return self._listeners[service].url

    async def _start(self, running: AsyncExitStack) -> None:
        self._folder = Path(await running.enter_async_context(anyio.TemporaryDirectory(prefix="entra-emulator-")))
        in_thread = anyio.to_thread.run_sync
        authority, key, external_key, pair = await asyncio.gather(  # computing them takes long, and holds no lock
            in_thread(CertificateAuthority),
            in_thread(SigningKey),
            in_thread(SigningKey, "external.issuer"),
            in_thread(make_key_pair, "app.emulator"),
        )
        self._certificate_app = self._tenant.register_app(certificates=[pair.certificate])
        tls = await in_thread(self._write_files, authority, pair)
        common: dict[str, Any] = {"tenant": self._tenant, "key": key, "clock": self.clock}
        common["evaluation"] = self.access_evaluation
        self._tokens = tokens = AccessTokenIssuer(**common, lifetimes=self.token_lifetimes)
        self.external_issuer = ExternalIssuer(
            key=external_key, clock=self.clock, url=lambda: self._listeners["external_issuer"].url
        )
        self.browser = ScriptedBrowser(authority=lambda: self.authority, user=lambda: self.user, tls=self._ssl_context)
        limited: dict[str, Any] = {"clock": self.clock, "throttle": self.throttle}
        evaluating = limited | {"authorize": AccessTokenVerifier(**common, challenges=True)}
        limited["authorize"] = AccessTokenVerifier(**common)
        recorded: dict[str, Any] = {"directory": self.directory, "records": self._records, "hunting": self.hunting}
        applications = {
            "identity": identity_application(tokens, self._accounts, self._ssl_context),
            "external_issuer": self.external_issuer.application(),
            "graph": graph_application(
                behaviour=self.graph, faults=self.faults, drives=self.drives, **evaluating, **recorded
            ),
            "files": file_origin_application(drives=self.drives, clock=self.clock),
            "endpoint": defender_application(behaviour=self.defender, **limited, **recorded),
            "security": defender_xdr_application(records=self._records, hunting=self.hunting, **limited),
            "key_vault": key_vault_application(vault=self.vault, tenant_id=self._tenant.id, **limited),
            "azure": arm_application(arm=self.arm, tenant_id=self._tenant.id, **limited),
        }
        for service, application in applications.items():
            self._listeners[service] = await running.enter_async_context(
                Listener(
                    service,
                    application,
                    tls=tls,
                    requests=self.requests,
                    faults=self.faults,
                    clock=self.clock,
                    delay_s=self._page_delay_s if service in {"graph", "endpoint", "security"} else 0.0,
                    host=self.vault.host if service == "key_vault" else None,
                )
            )
        self.vault.url = self._listeners["key_vault"].url
        self.arm.url = self._listeners["azure"].url
        # Another host than Graph's, as well as another port.
        self.drives.url = f"https://127.0.0.1:{self._listeners['files'].port}"

    def _write_files(self, authority: CertificateAuthority, pair: KeyPair) -> ssl.SSLContext:
        self.ca_file.write_bytes(authority.pem)
        self.certificate_file.write_bytes(pair.pfx(self._certificate_password))
        self._ssl_context = authority.client_context()
        return authority.server_context()

    @property
    def tenant_id(self) -> str:
        """The tenant's GUID, another one in each emulator."""
        return self._tenant.id

    @property
    def authority(self) -> str:
        """Root of the sign-in service, without a tenant."""
        return self._url("identity")

    @property
    def graph_url(self) -> str:
        """Root of Microsoft Graph, without the version."""
        return self._url("graph")

    @property
    def endpoint_url(self) -> str:
        """Root of Defender for Endpoint, without ``/api``."""
        return self._url("endpoint")

    @property
    def cloud(self) -> Cloud:
        """The emulator as a cloud: its own addresses, the real audiences."""
        return Cloud(
            name="emulator",
            authority=self.authority,
            graph=Endpoint(self.graph_url, "https://graph.microsoft.com"),
            azure=Endpoint(self._url("azure"), "https://management.core.windows.net/"),
            key_vault=Endpoint(self._url("key_vault"), "https://vault.azure.net"),
            endpoint=Endpoint(f"{self.endpoint_url}/api", "https://api.securitycenter.microsoft.com"),
            security=Endpoint(f"{self._url('security')}/api", "https://api.security.microsoft.com"),
        )

    @property
    def ca_file(self) -> Path:
        """The PEM file of the authority that signed the TLS certificate."""
        self._check_entered()
        return self._folder / "ca.pem"

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts the emulator's authority only."""
        self._check_entered()
        return self._ssl_context

    @cached_property
    def app(self) -> App:
        """The app that :attr:`client_secret` signs in as; it has every app role there is."""
        return self._tenant.register_app()

    @property
    def client_secret(self) -> ClientSecret:
        """What :attr:`app` signs in with."""
        from entra_async import ClientSecret

        return ClientSecret(client_id=self.app.client_id, tenant_id=self.tenant_id, client_secret=self.app.secret)

    @property
    def certificate_app(self) -> App:
        """The app that :attr:`certificate` signs in as; it has every app role there is."""
        self._check_entered()
        return self._certificate_app

    @property
    def certificate_file(self) -> Path:
        """The PFX file of :attr:`certificate_app`: RSA 2048, self-signed, encrypted."""
        self._check_entered()
        return self._folder / "app.pfx"

    @property
    def certificate_password(self) -> str:
        """The password of :attr:`certificate_file`."""
        return self._certificate_password

    @property
    def certificate(self) -> Certificate:
        """What :attr:`certificate_app` signs in with."""
        from entra_async import Certificate

        return Certificate(
            client_id=self.certificate_app.client_id,
            tenant_id=self.tenant_id,
            path=self.certificate_file,
            password=self.certificate_password,
        )

    def add_user(self, name: str) -> User:
        """
        Create another user with a password, ``{name}@{domain}``.

        Raises:
            ValueError: If there is one of that name.
        """
        return self._accounts.create(name)

    def revoke_sessions(self, principal: User | App) -> None:
        """Challenge the access tokens of a user or app from now on; a user's refresh tokens are worthless (50173)."""
        self.access_evaluation.revoke(principal.id if isinstance(principal, User) else principal.object_id)
        if isinstance(principal, User):
            principal.revoke_sessions(now=self.clock.now())

    @cached_property
    def public_app(self) -> App:
        """A public client on ``http://localhost`` for users, with consent to what most apps request."""
        return self._tenant.register_public_app()

    @property
    def token_requests(self) -> list[RecordedRequest]:
        """What was posted to a token endpoint so far."""
        return self.requests.matching(method="POST", path=_TOKEN_PATH, service="identity")

    def managed_identity(
        self, kind: HostKind, *, system_assigned: bool = True, user_assigned: Iterable[str] = ()
    ) -> AbstractAsyncContextManager[AzureHost]:
        """
        Run an Azure host with managed identities for one block, on a port of its own, in plain HTTP where Azure's is.

        Args:
            kind: What it is. Its requests are recorded, and its faults injected, under this name.
            system_assigned: Whether it has an identity of its own.
            user_assigned: Names of the identities assigned to it.

        Returns:
            A context manager for the host; its ``environment`` is what a process on it finds.
        """
        self._check_entered()
        return run_host(
            kind,
            tokens=self._tokens,
            requests=self.requests,
            faults=self.faults,
            clock=self.clock,
            system_assigned=system_assigned,
            user_assigned=user_assigned,
        )

    def developer_tools(self) -> AbstractAsyncContextManager[DeveloperTools]:
        """
        Return a context manager for a folder with ``az``, ``azd`` and ``pwsh``, to be put on ``PATH`` (not on Windows).

        :attr:`app` is signed in to them.
        """
        self._check_entered()
        return run_developer_tools(tokens=self._tokens, app=self.app)

    def session(self, **options: Any) -> Session:
        """
        Return a Session for this emulator, not yet entered.

        Args:
            options: What :class:`entra_async.Session` takes; ``cloud``, ``ssl`` and ``clock`` are filled in.
        """
        from entra_async.session import Session

        filled: Mapping[str, Any] = {"cloud": self.cloud, "ssl": self.ca_file, "clock": self.clock}
        return Session(**{**filled, **options})

    def register_app(self, *, certificate_pem: bytes | None = None, **registration: Unpack[AppRegistration]) -> App:
        """
        Register an app in the tenant.

        Args:
            certificate_pem: Public certificate(s) it may sign in with.
            registration: Everything else, as
                :class:`~entra_async.testing.entra.app_registrations.AppRegistration` lists it.

        Returns:
            The app. Changing it while the emulator runs takes effect at once.

        Raises:
            ValueError: If no service here defines one of the roles or delegated permissions, a redirect URI can't be
                registered, or *certificate_pem* holds no certificate.
        """
        certificates = x509.load_pem_x509_certificates(certificate_pem) if certificate_pem else ()
        return self._tenant.register_app(certificates=certificates, **registration)
