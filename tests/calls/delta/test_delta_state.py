"""Where delta queries keep how far they came: safe, small, and of one query only."""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from collections.abc import Iterable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from blockbuster import BlockBuster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entra_async import Connection, DeltaState, UsernamePassword
from entra_async.calls.delta.state import DeltaStore
from entra_async.errors import ConfigurationError, StoreError
from entra_async.testing import Emulator

GUIDS = [str(uuid.UUID(int=number)) for number in range(3)]
IDS = [*GUIDS, GUIDS[1].upper(), "AAMkAD=", "ü", GUIDS[2].replace("-", "")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "users.delta"


async def follow(graph: Connection, state: DeltaStore, *, path: str = "users/delta", **options: Any) -> list[str]:
    return [change.id async for change in graph.delta(path, state=state, **options)]


class StateInMemory:
    """A custom store in memory: the protocol, in the plainest way."""

    def __init__(self) -> None:
        self.checkpoint: bytes | None = None
        self.last: dict[str, tuple[int, bool]] = {}

    async def load(self) -> bytes | None:
        return self.checkpoint

    async def save(
        self, checkpoint: bytes, *, replacing: bytes | None, generation: int, changes: Iterable[tuple[str, bool]]
    ) -> None:
        assert replacing == self.checkpoint
        self.checkpoint = checkpoint
        self.last.update({name: (generation, present) for name, present in changes})

    async def missing(self, *, before: int, limit: int) -> list[str]:
        return [name for name, (generation, present) in self.last.items() if present and generation < before][:limit]


CHANGES = st.lists(st.tuples(st.sampled_from(IDS), st.booleans()), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=st.lists(st.tuples(st.integers(1, 3), CHANGES), max_size=6), often=st.booleans())
def test_keeps_the_last_change_of_each_id(
    tmp_path: Path, blockbuster: BlockBuster, pages: list[Any], often: bool
) -> None:
    """A file holds what a dict would: the last change of each id, however it is spelled, compacted or not."""
    blockbuster.deactivate()  # Hypothesis itself reads files

    async def run() -> None:
        path = tmp_path / f"{uuid.uuid4()}.delta"
        plain, kept = StateInMemory(), DeltaState(path)
        for number, (generation, changes) in enumerate(sorted(pages, key=lambda page: page[0])):
            old, checkpoint = plain.checkpoint, str(number).encode()
            filler = [(GUIDS[0], False)] * 10_001 if often else []
            await plain.save(checkpoint, replacing=old, generation=generation, changes=[*filler, *changes])
            await kept.save(checkpoint, replacing=old, generation=generation, changes=[*filler, *changes])
            assert await DeltaState(path).load() == checkpoint
        for before in (1, 2, 3, 4):
            expected = await plain.missing(before=before, limit=99)
            assert sorted(await kept.missing(before=before, limit=99)) == sorted(expected)
            assert len(await kept.missing(before=before, limit=1)) == min(1, len(expected))

    anyio.run(run)


async def test_a_file_stays_small(path: Path) -> None:
    """A GUID takes less than 30 bytes, and what is outdated does not pile up."""
    state = DeltaState(path)
    ids = [str(uuid.uuid4()) for _ in range(20_000)]
    checkpoint = None
    for number in range(6):
        await state.load()
        checkpoint, old = str(number).encode(), checkpoint
        await state.save(checkpoint, replacing=old, generation=1, changes=[(name, True) for name in ids])
        if not number:
            assert (await anyio.Path(path).stat()).st_size < 30 * len(ids) + 20_000
    assert (await anyio.Path(path).stat()).st_size < 4 * 30 * len(ids)
    assert sorted(await state.missing(before=2, limit=99_999)) == sorted(ids)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_others_cannot_read_it(path: Path) -> None:
    """The file names everybody, so it is made for its owner only."""
    await DeltaState(path).load()
    assert stat.S_IMODE((await anyio.Path(path).stat()).st_mode) == 0o600


async def test_a_store_of_ones_own(emulator: Emulator) -> None:
    """Whatever has the three methods will do, deletions included."""
    kept = StateInMemory()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        everybody = await follow(graph, kept)
        await graph.invoke(f"users/{everybody[7]}", method="DELETE")
        emulator.graph.expire_delta_tokens("gone")
        changes = [change async for change in graph.delta("users/delta", state=kept)]

    assert len(everybody) == 200
    assert [change.id for change in changes if change.derived] == [everybody[7]]


@pytest.mark.parametrize("state", [None, "users.delta", b"", 5])
async def test_what_is_no_state(emulator: Emulator, state: Any) -> None:
    """It is refused, with an example of what would do."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(ConfigurationError, match="DeltaState"):
            graph.delta("users/delta", state=state)
        with pytest.raises(ConfigurationError, match="path"):
            DeltaState("")


def spoil_text(path: Path) -> None:
    path.write_text("https://graph.microsoft.com/v1.0/users/delta?$deltatoken=x")


def spoil_cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])


def spoil_middle(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096 : 4096 + 100] = b"\xff" * 100
    path.write_bytes(whole)


def spoil_kind(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE orders (id INTEGER)")


def spoil_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")


def spoil_checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE state SET checkpoint = ?", (b'["x"]',))


def spoil_checkpoint_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        (checkpoint,) = database.execute("SELECT checkpoint FROM state").fetchone()
        database.execute("UPDATE state SET checkpoint = ?", (checkpoint.replace(b",1]", b",2]"),))


def spoil_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILS = (
    spoil_text,
    spoil_cut,
    spoil_middle,
    spoil_kind,
    spoil_version,
    spoil_checkpoint,
    spoil_checkpoint_version,
    spoil_folder,
)


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
async def test_a_broken_file_is_an_error(emulator: Emulator, path: Path, spoil: Any) -> None:
    """What is no state, or not whole, is refused before a call is made, and left as it is."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await follow(graph, DeltaState(path))
        requests = emulator.requests.count(path="/v1.0/users/delta")
        await to_thread.run_sync(spoil, path)
        kept = None if spoil is spoil_folder else await anyio.Path(path).read_bytes()
        with pytest.raises(StoreError, match=r"users\.delta") as caught:
            await follow(graph, DeltaState(path))
        assert caught.value.hint
        assert kept is None or await anyio.Path(path).read_bytes() == kept
        assert emulator.requests.count(path="/v1.0/users/delta") == requests


async def test_the_state_of_another_query(emulator: Emulator, path: Path) -> None:
    """One state, one path and query: anything else is refused before a call is made, and nothing is overwritten."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await follow(graph, DeltaState(path))
        requests = emulator.requests.count(service="graph")
        kept = await anyio.Path(path).read_bytes()
        with pytest.raises(ConfigurationError, match="another query") as caught:
            await follow(graph, DeltaState(path), query={"$select": "mail"})
        assert caught.value.field == "state"
        with pytest.raises(ConfigurationError, match=r"another path, https://.*/v1\.0/users/delta"):
            await follow(graph, DeltaState(path), path="groups/delta")
        assert await anyio.Path(path).read_bytes() == kept
        assert emulator.requests.count(service="graph") == requests


async def test_the_state_of_another_tenant(emulator: Emulator) -> None:
    """A state is of one tenant: in another, everybody would seem to be deleted."""
    kept = StateInMemory()
    async with emulator.session() as session:
        await follow(await session.connect(emulator.client_secret), kept)
    assert kept.checkpoint is not None
    kept.checkpoint = kept.checkpoint.replace(emulator.tenant_id.encode(), str(uuid.uuid4()).encode())
    async with emulator.session() as session:
        with pytest.raises(ConfigurationError, match="another tenant"):
            await follow(await session.connect(emulator.client_secret), kept)


async def test_the_state_of_another_user(emulator: Emulator) -> None:
    """Below "me" a state is of one person, elsewhere it is not."""
    user = UsernamePassword(
        client_id=emulator.public_app.client_id,
        tenant_id=emulator.tenant_id,
        username=emulator.user.user_principal_name,
        password=emulator.user.password,
    )
    body = {"value": [{"id": "1"}], "@odata.deltaLink": "?$deltatoken=x"}
    emulator.faults.add("/v1.0/me/contacts/delta", times=None, status=200, body=body)
    mine, all_ = StateInMemory(), StateInMemory()
    async with emulator.session() as session:
        graph = await session.connect(user)
        assert await follow(graph, mine, path="me/contacts/delta") == ["1"]
        await follow(graph, all_)
        other = await session.connect(emulator.client_secret)
        with pytest.raises(ConfigurationError, match="another user"):
            await follow(other, mine, path="me/contacts/delta")
        assert await follow(other, all_) == []


async def test_two_at_once(emulator: Emulator, path: Path) -> None:
    """Two runs on one state do not wipe out each other's work: the second to save gets an error."""
    emulator.graph.page_size = 50
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        async with aclosing(graph.delta("users/delta", state=DeltaState(path))) as slow:
            await anext(slow)
            assert len(await follow(graph, DeltaState(path))) == 200
            with pytest.raises(StoreError, match="changed by another run"):
                [change async for change in slow]
        assert await follow(graph, DeltaState(path)) == []


async def test_shows_its_path_only(path: Path) -> None:
    """A state is named by its file."""
    assert repr(DeltaState(path)) == f"<DeltaState {str(path)!r}>"
