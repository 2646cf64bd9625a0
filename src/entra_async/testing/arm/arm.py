"""The emulated Azure as a test sees it: its resources, its role assignments, and how operations go."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal, get_args

from entra_async.testing.arm.limits import ArmLimits
from entra_async.testing.arm.operations import ArmOperations, OperationPlan
from entra_async.testing.arm.resources import LOCATIONS, Subscription

if TYPE_CHECKING:
    from entra_async.testing.arm.operations import OperationForm, OperationOutcome
    from entra_async.testing.clock import EmulatorClock

__all__ = ("Arm", "Role")

Role = Literal["Owner", "Contributor", "Reader"]
"""Azure's own roles. Here the first two allow everything."""


class Arm:
    """
    Azure Resource Manager.

    Everybody who gets a token for it is an owner of every subscription, unless a test says otherwise.

    Attributes:
        url: Root of the service.
        page_size: How many entries a page holds where ``$top`` does not say.
        empty_pages: Every n-th page (n at least 2) comes without entries, though more follow; 0 for never.
        page_token_lifetime_s: How long a ``nextLink`` can be followed.
        limits: The rate limits, which are on as they are in Azure, and what the headers say of them.
        subscriptions: What there is, by id.
        started: The long-running operations.

    Args:
        clock: The emulator's time.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self.url = ""
        self.page_size = 100
        self.empty_pages = 0
        self.page_token_lifetime_s = 3600.0
        self.limits = ArmLimits(clock)
        self.subscriptions: dict[str, Subscription] = {}
        self.started = ArmOperations(clock)
        self._roles: dict[tuple[str, str | None], Role | None] = {}
        self.subscription_id = self.add_subscription("Emulated subscription")
        """The first subscription, which holds three resource groups at the beginning."""
        self.add_resource_groups(3)

    def add_subscription(self, name: str) -> str:
        """Create a subscription without resource groups, and return its id."""
        subscription = Subscription(id=str(uuid.uuid4()), name=name)
        self.subscriptions[subscription.id] = subscription
        return subscription.id

    def add_resource_groups(self, count: int, *, subscription_id: str | None = None) -> None:
        """
        Create resource groups, ``rg-00000`` and so on, beside those that exist.

        Args:
            count: How many.
            subscription_id: Where; in the first subscription unless given.
        """
        subscription = self.subscriptions[subscription_id or self.subscription_id]
        start = len(subscription.groups)
        for number in range(start, start + count):
            subscription.add_group(f"rg-{number:05}", LOCATIONS[number % len(LOCATIONS)])

    def operations(
        self,
        *,
        form: OperationForm = "async",
        takes_s: float = 30.0,
        outcome: OperationOutcome = "Succeeded",
        retry_after_s: int | None = 10,
        running: str = "InProgress",
        error: tuple[str, str] | None = None,
    ) -> None:
        """
        Say how operations on resources go that are started from now on.

        Args:
            form: How a client can follow them: by ``Azure-AsyncOperation`` (``"async"``), by ``Location``
                (``"location"``), by both, by nothing but the resource's ``provisioningState``, or, with
                ``"immediate"``, not at all: they have ended when the response is sent.
            takes_s: Seconds on the emulator's clock until they end.
            outcome: How they end.
            retry_after_s: The ``Retry-After`` of every response while they run, or ``None`` for no such header.
            running: What ``status`` says until then; each resource provider has words of its own.
            error: Code and message of those that do not succeed.

        Raises:
            ValueError: If one makes no sense.
        """
        self.started.plan = OperationPlan(
            form=form, takes_s=takes_s, outcome=outcome, retry_after_s=retry_after_s, running=running, error=error
        )

    def assign(self, object_id: str, role: Role | None, *, subscription_id: str | None = None) -> None:
        """
        Give a principal one role in place of the one it has.

        Args:
            object_id: Of a user or a service principal.
            role: The role; ``None`` for none, so that everything gets a 403.
            subscription_id: At this subscription; at every one unless given.

        Raises:
            ValueError: If there is no such role.
        """
        if role is not None and role not in get_args(Role):
            message = f"role must be one of {', '.join(get_args(Role))} or None, not {role!r}."
            raise ValueError(message)
        self._roles[object_id, subscription_id] = role

    def allows(self, object_id: str, subscription_id: str, action: str) -> bool:
        """Return whether a principal may do an action such as ``Microsoft.Storage/storageAccounts/write``."""
        everywhere = self._roles.get((object_id, None), "Owner")
        role = self._roles.get((object_id, subscription_id), everywhere)
        return role in {"Owner", "Contributor"} or (role == "Reader" and action.endswith("/read"))
