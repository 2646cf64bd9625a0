"""The command-line interface of ``entra-async``."""

from __future__ import annotations

import sys
from typing import Annotated

import anyio
from cyclopts import App, Parameter
from cyclopts.validators import Number

from entra_async import __version__
from entra_async.cli.demo import Job, run_on_emulator, run_on_tenant
from entra_async.cli.demo_view import DemoView
from entra_async.credentials.client_secret import ClientSecret
from entra_async.errors import EntraError

__all__ = ("app",)

app = App(
    name="entra-async",
    help="Sign in to Microsoft Entra ID and call Microsoft Graph, Azure and Defender.",
    version=__version__,
)


@app.command
def demo(
    *,
    tenant_id: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    users: Annotated[int, Parameter(help="How many users the local tenant has.", validator=Number(gte=1))] = 20_000,
) -> None:
    """
    Crawl two services at once and show the statistics.

    Without options it starts a strict local tenant and signs in to it with a secret and with a certificate. With
    --tenant-id, --client-id and --client-secret the same job runs on a real tenant; the application needs
    User.Read.All (Microsoft Graph) and Machine.Read.All (WindowsDefenderATP).
    """
    view = DemoView()
    given = (tenant_id, client_id, client_secret)
    try:
        if any(given):
            missing = [
                name
                for name, value in zip(("tenant-id", "client-id", "client-secret"), given, strict=True)
                if not value
            ]
            if missing:
                view.show_error(f"A real tenant needs --{', --'.join(missing)} too.")
                sys.exit(2)
            provider = ClientSecret(
                tenant_id=tenant_id or "", client_id=client_id or "", client_secret=client_secret or ""
            )
            job = anyio.run(run_on_tenant, provider, view)
        else:
            job = anyio.run(run_on_emulator, users, view)
    except EntraError as error:
        view.show_error(str(error))
        sys.exit(1)
    sys.exit(_finish(job, view))


def _finish(job: Job, view: DemoView) -> int:
    view.summarize(job)
    return 1 if job.failures else 0
