"""What somebody keeps who follows a delta query, and what happens to the directory meanwhile."""

from __future__ import annotations

import uuid
from contextlib import aclosing
from pathlib import Path
from typing import Any

from entra_async import Change, Connection, DeltaState

PATH = "/v1.0/users/delta"
QUERY = {"$select": "displayName"}


class Mirror:
    """What somebody keeps who applies every change."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.received: list[Change] = []

    def apply(self, change: Change) -> None:
        self.received.append(change)
        if change.removed is None:
            self.names[change.id] = {**self.names.get(change.id, {}), **change.item}
        else:
            self.names.pop(change.id, None)

    async def follow(self, graph: Connection, path: Path, *, stop_after: int | None = None, **options: Any) -> int:
        """Apply changes to the end, or so many and then leave; return how many came."""
        count = 0
        options.setdefault("query", QUERY)
        async with aclosing(graph.delta("users/delta", state=DeltaState(path), **options)) as changes:
            async for change in changes:
                self.apply(change)
                count += 1
                if count == stop_after:
                    break
        return count

    @property
    def all_names(self) -> dict[str, str]:
        return {name: item["displayName"] for name, item in self.names.items()}


async def users_of(graph: Connection) -> dict[str, str]:
    users = await graph.invoke("users", query={"$select": "id,displayName", "$top": 999})
    return {user["id"]: user["displayName"] for user in users}


async def stir(graph: Connection, *, seed: int = 0) -> None:
    """Change one user, delete one for a while and one for good, and make one."""
    ids = sorted(await users_of(graph))
    renamed, deleted, purged = ids[seed], ids[seed + 1], ids[seed + 2]
    await graph.invoke(f"users/{renamed}", method="PATCH", body={"displayName": f"Renamed {seed}"})
    await graph.invoke(f"users/{deleted}", method="DELETE")
    await graph.invoke(f"users/{purged}", method="DELETE")
    await graph.invoke(f"directory/deletedItems/{purged}", method="DELETE")
    name = uuid.uuid4().hex
    await graph.invoke(
        "users",
        method="POST",
        body={
            "accountEnabled": True,
            "displayName": f"New {seed}",
            "mailNickname": name,
            "userPrincipalName": f"{name}@contoso.com",
            "passwordProfile": {"password": "correct horse battery"},
        },
    )
