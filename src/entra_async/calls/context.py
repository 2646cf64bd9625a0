"""The call context: what every verb of a connection needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from entra_async.calls.access import Access
from entra_async.calls.background_tasks import StartTask
from entra_async.calls.prepare import BaseURL, prepare
from entra_async.calls.request import Request
from entra_async.config import Clock
from entra_async.errors import ConfigurationError
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.preauthenticated import PreauthenticatedRequests
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.services import Service
from entra_async.telemetry.events import Event, Listener, notify
from entra_async.transport.http.messages import Transport

__all__ = ("CallContext",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """
    One connection, as its verbs see it.

    Attributes:
        name: The connection's.
        service: The service.
        base_url: Where requests go.
        access: The tokens they carry.
        pipeline: Sends them.
        preauthenticated: Sends requests to pre-authenticated URLs.
        clock: Where time comes from.
        start: Starts a task that ends with the Session at the latest.
        listener: Called with each event.
    """

    name: str
    service: Service
    base_url: BaseURL
    access: Access
    pipeline: Pipeline
    preauthenticated: PreauthenticatedRequests
    clock: Clock
    start: StartTask
    listener: Listener | None

    def emit(self, event: Event) -> None:
        """Call the listener, if there is one."""
        if self.listener is not None:
            notify(self.listener, event)

    def over(self, transport: Transport) -> CallContext:
        """Return the same, with requests sent through *transport*, which puts them into batches."""
        return replace(self, pipeline=self.pipeline.over(transport))

    def prepare(self, request: Request) -> PreparedRequest:
        """
        Return what *request* sends.

        Raises:
            ConfigurationError: If it cannot be sent, or is for another connection.
        """
        self.check_service(request.service)
        return prepare(self.base_url, request)

    def check_service(self, service: str | None) -> None:
        """
        Check that a request is for this connection.

        Raises:
            ConfigurationError: If *service* is the name of another one.
        """
        if service is not None and str(service).lower() not in {self.name.lower(), self.service.name.lower()}:
            message = f"The request is for {service!r}, but this is {self.name!r}."
            raise ConfigurationError(message, field="service", hint="Use the Session's verb, or leave service= out.")
