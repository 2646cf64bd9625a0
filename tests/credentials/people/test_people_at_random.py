"""Whoever signs in and out, in whatever process and order: a connection returns its own user's tokens, or none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from entra_async.errors import ClosedError, InteractionRequiredError
from entra_async.testing import Emulator
from tests.support.people import Machine, who

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from entra_async import Connection, Session

VAULT = "https://vault.azure.net/.default"
SLOTS = st.integers(0, 2)
SERVICES = st.lists(st.sampled_from(["Graph", "Azure", "Endpoint"]), min_size=1, max_size=3, unique=True)


class Process:
    """A program that uses the store: its Session, its connections, and who signed in to it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.connections: dict[str, Connection] = {}
        self.person: str | None = None


class PeopleMachine(RuleBasedStateMachine):
    """Three processes with one configuration and one store; Ada and Grace sit at the machine by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.processes: list[Process] = []
        self.signed_in: str | None = None  # whom the store may know
        self.machine: Machine

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    @initialize(kind=st.sampled_from(["Browser", "DeviceCode"]))
    def begin(self, kind: str) -> None:
        async def begin() -> None:
            self.emulator = await Emulator().__aenter__()
            self.machine = Machine(self.emulator, kind)
            self.processes = [Process(self.machine.start()) for _ in range(3)]

        self.run(begin())

    @property
    def sitting(self) -> str:
        return self.machine.user.user_principal_name.partition("@")[0]

    @rule(grace=st.booleans())
    def sit_down(self, *, grace: bool) -> None:
        self.machine.user = self.machine.grace if grace else self.machine.ada

    async def check(self, process: Process, connection: Connection, *scopes: str) -> None:
        """A token is that of the process's user, and so is the user who signed in for it."""
        asked = self.machine.asked
        try:
            person = await who(connection, *scopes)
        except InteractionRequiredError as error:
            assert "Another user" in str(error), error  # noqa: PT017 - one of the ways it may go
            assert self.sitting != process.person
            return
        if self.machine.asked > asked:
            self.signed_in = person
        assert person == process.person

    @rule(slot=SLOTS, services=SERVICES)
    def connect(self, slot: int, services: list[str]) -> None:
        async def connect() -> None:
            process, asked = self.processes[slot], self.machine.asked
            try:
                made = await process.session.connect(self.machine.provider, service=services)
            except InteractionRequiredError as error:
                assert "Another user" in str(error)  # noqa: PT017 - one of the ways it may go
                return
            process.connections |= dict(zip(services, made, strict=True))
            if self.machine.asked > asked:
                self.signed_in = self.sitting
            if process.person is None:
                # Nobody is anybody without being asked, but for whom the store knows.
                process.person = self.signed_in
                assert process.person is not None
            for connection in made:
                await self.check(process, connection)

        self.run(connect())

    @rule()
    def look(self) -> None:
        async def look() -> None:
            for process in self.processes:
                for connection in process.connections.values():
                    await self.check(process, connection)

        self.run(look())

    @rule()
    def look_at_once(self) -> None:
        async def look() -> None:
            pairs = [(process, each) for process in self.processes for each in process.connections.values()]
            asked = self.machine.asked
            found = await asyncio.gather(*(who(each, VAULT) for _, each in pairs), return_exceptions=True)
            for (process, _), person in zip(pairs, found, strict=True):
                assert person == process.person or isinstance(person, InteractionRequiredError), person
            if self.machine.asked > asked and any(person == self.sitting for person in found):
                self.signed_in = self.sitting

        self.run(look())

    @rule(seconds=st.sampled_from([600, 3000, 4000, 90_000]))
    def wait(self, seconds: float) -> None:
        self.emulator.clock.move(seconds)

    @rule(grace=st.booleans())
    def revoke(self, *, grace: bool) -> None:
        user = self.machine.grace if grace else self.machine.ada
        user.revoke_sessions(now=self.emulator.clock.now())

    @rule(slot=SLOTS, share=st.floats(0, 1))
    def sign_out(self, slot: int, share: float) -> None:
        process = self.processes[slot]
        services = sorted(process.connections)
        for service in services[: round(share * len(services))]:
            self.run(process.session.disconnect(service))
            del process.connections[service]
        if services and not process.connections:
            if process.person == self.signed_in:
                self.signed_in = None
            process.person = None

    @rule(slot=SLOTS, services=SERVICES)
    def hand_over(self, slot: int, services: list[str]) -> None:
        self.sign_out(slot, 1.0)
        self.sit_down(grace=self.machine.user is self.machine.ada)
        self.connect(slot, services)

    @rule(slot=SLOTS)
    def restart(self, slot: int) -> None:
        async def restart() -> None:
            left = self.processes[slot]
            self.processes[slot] = Process(self.machine.start())
            await left.session.aclose()
            for connection in left.connections.values():
                with suppress(ClosedError):
                    raise AssertionError(await who(connection))

        self.run(restart())

    def teardown(self) -> None:
        async def end() -> None:
            for process in self.processes:
                await process.session.aclose()
            await self.emulator.__aexit__(None, None, None)

        if hasattr(self, "machine"):
            self.run(end())
        self.runner.close()


TestPeople = PeopleMachine.TestCase
TestPeople.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
