"""What type checkers see of the verbs' results: mypy and pyright check every line, and nothing runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, assert_type

import msgspec

from entra_async import Connection, Request, Response, Session
from entra_async.calls.paging.stream import Stream
from entra_async.errors import EntraError


class User(msgspec.Struct):
    """A type of a user's own."""

    id: str


async def results_of_invoke(session: Session, graph: Connection) -> None:
    """What was asked for comes back; ``Any`` where nothing was said."""
    assert_type(await session.invoke("users/ada"), Any)
    assert_type(await session.invoke("users/ada", service="Graph", query={"$select": "id"}), Any)
    assert_type(await session.invoke("users/ada", raw=True), Response)
    assert_type(await session.invoke("users/ada", type=User), User)
    assert_type(await session.invoke("users", type=list[User]), list[User])
    assert_type(await graph.invoke("users/ada"), Any)
    assert_type(await graph.invoke("users/ada", raw=True, timeout=5), Response)
    assert_type(await graph.invoke("users/ada", type=User, headers={"Prefer": "x"}), User)
    assert_type(await graph.invoke("users", type=list[User], query={"$top": 5}), list[User])
    assert_type(await graph.invoke("users/ada", type=dict[str, str]), dict[str, str])


async def results_of_stream(session: Session, graph: Connection) -> None:
    """Items are of the type that was asked for."""
    assert_type(session.stream("users"), Stream[Any])
    assert_type(session.stream("users", type=User), Stream[User])
    assert_type(graph.stream("users", type=User, query={"$top": 5}), Stream[User])
    async for user in graph.stream("users", type=User):
        assert_type(user, User)
    async for page in graph.stream("users", type=User).pages():
        assert_type(page, list[User])


async def results_of_many(session: Session, graph: Connection) -> None:
    """Each request comes back as what was given, with its value or its error."""
    assert_type(Request("users/ada"), Request[Any])
    assert_type(Request("users/ada", type=User), Request[User])
    assert_type(Request("users", type=list[User]), Request[list[User]])
    async for path, result in session.invoke_many(["users/ada"]):
        assert_type(path, str)
        assert_type(result, Any | EntraError)
    async for request, user in graph.invoke_many([Request("users/ada", type=User)]):
        assert_type(request, Request[User])
        assert_type(user, User | EntraError)
        if not isinstance(user, EntraError):
            assert_type(user, User)
    many = graph.invoke_many([Request("users", type=list[User])])
    assert_type(many, AsyncGenerator[tuple[Request[list[User]], list[User] | EntraError], None])


async def results_of_batch(session: Session, graph: Connection) -> None:
    """A batch gives for each request its value or its error."""
    assert_type(await session.batch(["users/ada"]), list[Any | EntraError])
    assert_type(await graph.batch([Request("users/ada", type=User)]), list[User | EntraError])
    assert_type(await graph.batching().invoke("users/ada", type=User), User)
