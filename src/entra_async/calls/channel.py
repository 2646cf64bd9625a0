"""The way from a verb to its service: what every verb of a connection needs, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, final

from entra_async.calls.background_tasks import StartTask
from entra_async.calls.prepare import BaseURL, PreparedRequest, prepare
from entra_async.config import Clock
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.preauthenticated import PreauthenticatedRequests
from entra_async.pipeline.response import Response
from entra_async.secrecy import wipe_locals
from entra_async.services import Service
from entra_async.telemetry.events import Event, Listener, notify
from entra_async.transport.messages import Transport
from entra_async.transport.streams import BodyStream

__all__ = ("Channel",)


@final
class Channel:
    """
    Prepares and sends the requests of one connection.

    Attributes:
        name: The connection's.
        clock: Where time comes from.
        start: Starts a task that ends with the Session at the latest.
        permit: Raises if the token lacks one of these permissions, or if the connection is disconnected.
        holder: Tells whose token it is: tenant, and person or service principal; ``None`` where it does not say.
        outside: The way to URLs that permit by themselves what they lead to.

    Args:
        target: Where requests go.
        caller: Carries them.
        listener: Hears of what happens.
    """

    def __init__(
        self,
        *,
        name: str,
        target: BaseURL,
        caller: Pipeline,
        clock: Clock,
        start: StartTask,
        permit: Callable[[Iterable[str] | None], Awaitable[None]],
        holder: Callable[[], Awaitable[tuple[str | None, str | None]]],
        listener: Listener | None,
        outside: PreauthenticatedRequests,
    ) -> None:
        self.name = name
        self.clock = clock
        self.start = start
        self.permit = permit
        self.holder = holder
        self.outside = outside
        self._target = target
        self._caller = caller
        self._listener = listener

    def tell(self, event: Event) -> None:
        """Let the listener hear of something, if there is one."""
        if self._listener is not None:
            notify(self._listener, event)

    @property
    def service(self) -> Service:
        """The service that is called."""
        return self._target.service

    @property
    def carrier(self) -> Transport:
        """What sends a request once, with a token."""
        return self._caller

    def over(self, sender: Transport) -> Channel:
        """Return a channel whose requests travel inside those that *sender* makes."""
        return Channel(
            name=self.name,
            target=self._target,
            caller=self._caller.over(sender),
            clock=self.clock,
            start=self.start,
            permit=self.permit,
            holder=self.holder,
            listener=self._listener,
            outside=self.outside,
        )

    @property
    def headers(self) -> dict[str, str]:
        """What every request sends: for links, to which the caller's own headers do not belong."""
        return dict(self._target.headers)

    def base(self, parameters: Mapping[str, str] | None = None) -> str:
        """
        Return the service's root, its parameters filled in.

        Raises:
            ConfigurationError: If there is no URL, or a parameter is missing, unknown or unfit.
        """
        return self._target.base(parameters)

    def prepare(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> PreparedRequest:
        """
        Return the request that these arguments describe; see :func:`entra_async.calls.prepare.prepare`.

        Raises:
            ConfigurationError: If one of them cannot be sent.
        """
        return prepare(
            self._target,
            path,
            method=method,
            query=query,
            headers=headers,
            body=body,
            content_type=content_type,
            parameters=parameters,
        )

    async def send(
        self,
        prepared: PreparedRequest,
        *,
        timeout_s: float | None = None,
        idempotent: bool | None = None,
        follow: bool = True,
    ) -> Response:
        """
        Send a request and return its answer; see :meth:`entra_async.pipeline.pipeline.Pipeline.call`.

        Args:
            prepared: The request.
            timeout_s: Seconds it may take in all; the policy's deadline by default.
            idempotent: Whether acting twice is the same as acting once; by default the method tells.
            follow: ``False`` to return a redirect instead of going there.

        Raises:
            EntraError: Whatever the caller raises.
        """
        try:
            return await self._caller.call(
                prepared.method,
                prepared.url,
                headers=prepared.headers,
                body=prepared.body,
                timeout_s=timeout_s,
                idempotent=idempotent,
                follow=follow,
            )
        except BaseException as error:
            wipe_locals(error)
            raise

    async def open(
        self, url: str, *, headers: Mapping[str, str], timeout_s: float | None = None
    ) -> tuple[Response, BodyStream | None]:
        """
        GET a URL that was checked, and return the answer, or a redirect, while its body arrives.

        Args:
            url: Below the service's root.
            headers: Without a token.
            timeout_s: See :meth:`send`.

        Raises:
            EntraError: Whatever the caller raises.
        """
        try:
            return await self._caller.open(url, headers=headers, timeout_s=timeout_s, follow=False)
        except BaseException as error:
            wipe_locals(error)
            raise

    async def follow(self, prepared: PreparedRequest, link: str, *, timeout_s: float | None = None) -> Response:
        """
        GET a link that was checked, with the headers of the request that led to it.

        Args:
            prepared: That request.
            link: Below the service's root.
            timeout_s: See :meth:`send`.

        Raises:
            EntraError: Whatever the caller raises.
        """
        headers = {name: value for name, value in prepared.headers.items() if name.lower() != "content-type"}
        try:
            return await self._caller.call("GET", link, headers=headers, timeout_s=timeout_s)
        except BaseException as error:
            wipe_locals(error)
            raise
