"""The emulated tenant's directory: a computed population, under what requests created, changed and deleted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from entra_async.testing.directory.population import GroupPopulation, MachinePopulation, UserPopulation

__all__ = ("Directory", "ObjectChange", "Objects", "Removal", "Selection", "Users")

Removal: TypeAlias = Literal["changed", "deleted"]
"""Why an object is gone, in the words of delta queries: ``changed`` can be restored, ``deleted`` cannot."""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """
    One change of one object.

    Attributes:
        index: The object's number.
        kind: ``created`` (restored counts, too), ``updated``, or why it is gone.
        values: The properties that were set, and to what.
    """

    index: int
    kind: Literal["created", "updated"] | Removal
    values: Mapping[str, Any]


class Objects:
    """
    All objects of one kind, each with a number (*index*) that never changes and is never given out twice.

    Args:
        computes: How each property of a made-up object follows from its number.
        index_of: From an id (or other unique key) of a made-up object to its number, without checking that it exists.
        size: How many made-up objects there are; created ones are numbered from here.

    Attributes:
        changes: Everything that happened to them, in order; it only grows.
    """

    def __init__(
        self, computes: Mapping[str, Callable[[int], Any]], index_of: Callable[[str], int | None], size: int
    ) -> None:
        self._computes = computes
        self._index_of = index_of
        self._size = size
        self._next = size
        self._changed: dict[int, dict[str, Any]] = {}
        self._removed: dict[int, Removal] = {}
        self.changes: list[ObjectChange] = []

    def __len__(self) -> int:
        return self._next - len(self._removed)

    def __contains__(self, index: int) -> bool:
        return 0 <= index < self._next and index not in self._removed

    @property
    def properties(self) -> Collection[str]:
        """The names of all properties an object has."""
        return self._computes.keys()

    @property
    def selection(self) -> Selection:
        """All objects, by number."""
        return Selection(self, range(self._next), lambda index: index if index in self else None, len(self))

    def find(self, key: str) -> int | None:
        """Return the number of the object with this id, or another key the kind knows, or ``None``."""
        index = self._index_of(key)
        return index if index is not None and index in self else None

    def reader(self, name: str) -> Callable[[int], Any]:
        """Return the function from an object's number to its property *name*."""
        compute = self._computes[name]
        if not self._changed:
            return compute
        changed = self._changed

        def read(index: int) -> Any:
            values = changed.get(index)
            return compute(index) if values is None or name not in values else values[name]

        return read

    def projector(self, names: Sequence[str]) -> Callable[[int], dict[str, Any]]:
        """Return the function from an object's number to a dict of these properties, in this order."""
        readers = [(name, self.reader(name)) for name in names]
        return lambda index: {name: read(index) for name, read in readers}

    def create(self, values: Mapping[str, Any]) -> int:
        """Add an object. Properties without a value are null. Return its number."""
        index = self._next
        self._next += 1
        self._changed[index] = {name: None for name in self._computes if name != "id"} | dict(values)
        self.changes.append(ObjectChange(index, "created", dict(values)))
        return index

    def update(self, index: int, values: Mapping[str, Any]) -> None:
        """Give properties of an object new values."""
        before = self.projector(tuple(values))(index)
        changed = {name: value for name, value in values.items() if value != before[name]}
        self._changed.setdefault(index, {}).update(values)
        if changed:
            self.changes.append(ObjectChange(index, "updated", changed))

    def delete(self, index: int, *, restorable: bool = True) -> None:
        """Remove an object, for good if it is not *restorable*."""
        removal: Removal = "changed" if restorable else "deleted"
        self._removed[index] = removal
        self.changes.append(ObjectChange(index, removal, {}))

    def removal(self, index: int) -> Removal | None:
        """Return why an object is gone, ``None`` if it is not."""
        return self._removed.get(index)

    def find_deleted(self, key: str) -> int | None:
        """Return the number of the object with this id that is deleted and can be restored, or ``None``."""
        index = self._index_of(key)
        return index if index is not None and self._removed.get(index) == "changed" else None

    def purge(self, index: int) -> None:
        """Remove a deleted object for good."""
        self.delete(index, restorable=False)

    def restore(self, index: int) -> None:
        """Bring a deleted object back, as it was."""
        del self._removed[index]
        self.changes.append(ObjectChange(index, "created", {}))


class Users(Objects):
    """
    The users; they are found by user principal name too.

    Args:
        population: The computed users.
        size: How many there are.
    """

    def __init__(self, population: UserPopulation, size: int) -> None:
        super().__init__(population.computes, population.index_of, size)
        self._names: dict[str, int] = {}  # user principal names that were set, in lower case

    def find(self, key: str) -> int | None:
        """Return the number of the user with this id or user principal name, in any case of letters, or ``None``."""
        index = self._names.get(key.lower())
        if index is None:
            index = super().find(key)
            # A made-up user that was renamed is no longer found by its old name.
            if index is not None and "@" in key and self.user_principal_name(index).lower() != key.lower():
                return None
        return index

    def create(self, values: Mapping[str, Any]) -> int:
        """Add a user, who has a ``userPrincipalName``. Return its number."""
        index = super().create(values)
        self._names[values["userPrincipalName"].lower()] = index
        return index

    def update(self, index: int, values: Mapping[str, Any]) -> None:
        """Give properties of a user new values."""
        if "userPrincipalName" in values:
            self._names.pop(self.user_principal_name(index).lower(), None)
            self._names[values["userPrincipalName"].lower()] = index
        super().update(index, values)

    def delete(self, index: int, *, restorable: bool = True) -> None:
        """Remove a user, for good if it is not *restorable*; the name is free again."""
        if self._names.get(self.user_principal_name(index).lower()) == index:
            del self._names[self.user_principal_name(index).lower()]
        super().delete(index, restorable=restorable)

    def restore(self, index: int) -> None:
        """Bring a deleted user back. Nobody else may have taken the name meanwhile."""
        super().restore(index)
        self._names[self.user_principal_name(index).lower()] = index

    def user_principal_name(self, index: int) -> str:
        """Return the name of a user, deleted or not."""
        name: str = self.reader("userPrincipalName")(index)
        return name


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Objects in the order a collection serves them, without holding them.

    Attributes:
        objects: Where they live.
        positions: Increasing places in the collection; a place keeps its meaning when objects come and go.
        index_at: The number of the object at a place, ``None`` where there is none (any more).
        count: How many there are, ``None`` if only a pass over all positions tells.
    """

    objects: Objects
    positions: Sequence[int]
    index_at: Callable[[int], int | None]
    count: int | None = None

    def after(self, position: int) -> Sequence[int]:
        """Return the places from *position* on."""
        return self.positions[bisect_left(self.positions, position) :]

    def narrowed(self, indexes: Collection[int]) -> Selection:
        """Return these objects only. For a collection whose places are the objects' numbers."""
        return Selection(self.objects, sorted(indexes), self.index_at)


class Directory:
    """
    A tenant's users, groups and machines.

    Args:
        domain: The verified domain, such as ``contoso.com``.
        tenant_id: GUID of the tenant; object ids follow from it.
        users: How many users to make up; number 0 is ``ada@{domain}``, Ada Lovelace.
        groups: How many groups.
        machines: How many machines.
    """

    def __init__(self, *, domain: str, tenant_id: str, users: int, groups: int, machines: int) -> None:
        self.domain = domain
        self.tenant_id = tenant_id
        self._group_population = GroupPopulation(domain, tenant_id, users)
        machine_population = MachinePopulation(domain, tenant_id)
        self._made_up_groups = groups
        self.users = Users(UserPopulation(domain, tenant_id), users)
        self.groups = Objects(self._group_population.computes, self._group_population.index_of, groups)
        self.machines = Objects(machine_population.computes, machine_population.index_of, machines)

    def user(self, index: int) -> dict[str, Any]:
        """Return every property of a user."""
        return self.users.projector(tuple(self.users.properties))(index)

    def user_id(self, index: int) -> str:
        """Return a user's object id."""
        user_id: str = self.users.reader("id")(index)
        return user_id

    def members(self, group: int) -> Selection:
        """Return the users in a group."""
        member = self._group_population.member

        def index_at(position: int) -> int | None:
            user = member(group, position)
            return user if user in self.users else None

        # Nobody is made up to be in a group that was created.
        size = self._group_population.size(group) if group < self._made_up_groups else 0
        return Selection(self.users, range(size), index_at)

    def member_of(self, user: int) -> Selection:
        """Return the groups a user is in."""
        contains = self._group_population.contains
        groups = self.groups

        def index_at(group: int) -> int | None:
            return group if group in groups and contains(group, user) else None

        return Selection(groups, range(self._made_up_groups), index_at)
