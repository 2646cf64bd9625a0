"""The made-up tenant: always the same, of any size, and looked up without a table."""

from __future__ import annotations

import re
import tracemalloc
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.directory.directory import Directory
from entra_async.testing.directory.object_ids import GuidIds, MachineIds

TENANT_ID = "5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11"


def make_directory(*, users: int = 1000, groups: int = 30, machines: int = 100) -> Directory:
    """Return a directory of the size requested."""
    return Directory(domain="contoso.com", tenant_id=TENANT_ID, users=users, groups=groups, machines=machines)


def test_first_user_is_ada() -> None:
    """User number 0 has the name and address the examples sign in with."""
    user = make_directory().user(0)
    assert (user["displayName"], user["userPrincipalName"], user["mail"]) == (
        "Ada Lovelace",
        "ada@contoso.com",
        "ada@contoso.com",
    )


def test_same_tenant_is_the_same_every_time() -> None:
    """Two directories of one tenant agree on every user; another tenant has other ids."""
    one, again = make_directory(), make_directory()
    assert [one.user(index) for index in range(100)] == [again.user(index) for index in range(100)]
    other = Directory(domain="contoso.com", tenant_id=str(uuid.UUID(int=7)), users=1, groups=0, machines=0)
    assert other.user_id(0) != one.user_id(0)


@given(st.integers(0, 10**9), st.text())
def test_ids_lead_back_to_their_number(index: int, tenant_id: str) -> None:
    """Any id is a version 4 GUID (a machine's: 40 hex digits) and gives its number back, in any case of letters."""
    guids, machines = GuidIds("user", tenant_id), MachineIds(tenant_id)
    assert uuid.UUID(guids.of(index)).version == 4
    assert guids.index(guids.of(index).upper()) == index
    assert re.fullmatch("[0-9a-f]{40}", machines.of(index))
    assert machines.index(machines.of(index)) == index


@given(st.text())
def test_any_text_can_be_looked_up(key: str) -> None:
    """Looking up nonsense finds nothing and fails on nothing."""
    directory = make_directory()
    assert directory.users.find(key) is None
    assert directory.groups.find(key) is None
    assert directory.machines.find(key) is None


def test_every_user_is_found_by_id_and_name() -> None:
    """Each id and user principal name is unique and leads to its user, whatever the case of letters."""
    directory = make_directory()
    names = set()
    for index in range(1000):
        user = directory.user(index)
        names.add(user["userPrincipalName"])
        assert directory.users.find(user["id"]) == index
        assert directory.users.find(user["userPrincipalName"].upper()) == index
    assert len(names) == 1000


@pytest.mark.parametrize("kind", ["users", "groups", "machines"])
def test_what_lies_past_the_end_is_not_found(kind: str) -> None:
    """The id of an object the directory is too small for is unknown in it."""
    small, large = make_directory(users=5, groups=5, machines=5), make_directory()
    beyond = getattr(large, kind).reader("id")(5)
    assert getattr(large, kind).find(beyond) == 5
    assert getattr(small, kind).find(beyond) is None


def test_names_are_as_awkward_as_real_ones() -> None:
    """Among the first 250 are apostrophes, other scripts, guests with #EXT#, disabled accounts, and every null."""
    directory = make_directory()
    users = [directory.user(index) for index in range(250)]
    assert any("O'Neill" in user["displayName"] for user in users)
    assert any(not user["displayName"].isascii() for user in users)
    assert any("'" in user["userPrincipalName"] for user in users)
    guests = [user for user in users if user["userType"] == "Guest"]
    assert guests
    assert all("#EXT#@contoso.com" in user["userPrincipalName"] for user in guests)
    assert any(not user["accountEnabled"] for user in users)
    for name in ("mail", "jobTitle", "department", "mobilePhone", "officeLocation", "preferredLanguage"):
        assert any(user[name] is None for user in users), name


def test_a_million_users_cost_no_memory() -> None:
    """The directory of a million users, and looking up its last one, takes less than a megabyte."""
    tracemalloc.start()
    try:
        directory = make_directory(users=1_000_000)
        last = directory.user(999_999)
        assert directory.users.find(last["id"]) == directory.users.find(last["userPrincipalName"]) == 999_999
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_membership_reads_the_same_from_both_ends() -> None:
    """A user is a member of exactly the groups whose members include it; groups differ in size, some are empty."""
    directory = make_directory(users=300)
    members = {}
    for group in range(30):
        selection = directory.members(group)
        members[group] = {selection.index_at(position) for position in selection.positions}
        assert len(members[group]) == len(selection.positions)
    assert {0, 1, 300} <= {len(users) for users in members.values()}
    for user in range(300):
        selection = directory.member_of(user)
        held_by = {selection.index_at(position) for position in selection.positions} - {None}
        assert held_by == {group for group, users in members.items() if user in users}


def test_a_renamed_user_is_found_by_the_new_name_only() -> None:
    """The old user principal name is free after a change, and works again when changed back."""
    users = make_directory().users
    users.update(0, {"userPrincipalName": "countess@contoso.com"})
    assert users.find("ada@contoso.com") is None
    assert users.find("Countess@contoso.com") == 0
    users.update(0, {"userPrincipalName": "ada@contoso.com"})
    assert users.find("countess@contoso.com") is None
    assert users.find("ada@contoso.com") == 0


def test_a_deleted_user_leaves_its_groups() -> None:
    """Members of a group are users that exist."""
    directory = make_directory(users=10)
    directory.users.delete(3)
    selection = directory.members(0)
    assert [selection.index_at(position) for position in selection.positions].count(None) == 1


def test_an_empty_directory_works() -> None:
    """A directory without anyone answers with nothing instead of failing."""
    directory = make_directory(users=0, groups=1, machines=0)
    assert len(directory.users) == 0
    assert directory.users.find("ada@contoso.com") is None
    assert list(directory.members(0).positions) == []
