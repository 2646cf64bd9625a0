"""One call: what goes out, what comes back, what an error says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from entra_async import Connection, Request, Response, Session
from entra_async.errors import (
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    DecodeError,
    ForbiddenError,
    NotFoundError,
)
from entra_async.testing import Emulator

ADA = "users/ada@contoso.com"


class User(msgspec.Struct, rename="camel"):
    id: str
    display_name: str


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[Session]:
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        yield session


@pytest.fixture
def graph(session: Session) -> Connection:
    return session.connections["Graph"]


async def test_json_goes_both_ways(graph: Connection, emulator: Emulator) -> None:
    """Create, read, change and delete: bodies are JSON, responses are dicts, nothing is None."""
    new = {
        "accountEnabled": True,
        "displayName": "Zoë O'Neill & Co",
        "mailNickname": "zoe",
        "userPrincipalName": "zoe@contoso.com",
        "passwordProfile": {"password": "Correct-Horse-7", "forceChangePasswordNextSignIn": True},
    }
    created = await graph.invoke("users", method="POST", body=new)
    changed = await graph.invoke(f"users/{created['id']}", method="patch", body={"jobTitle": "Engineer"})
    read = await graph.invoke("users/zoe@contoso.com")
    deleted = await graph.invoke(f"users/{created['id']}", method="DELETE")
    with pytest.raises(NotFoundError):
        await graph.invoke("users/zoe@contoso.com")

    assert created["displayName"] == "Zoë O'Neill & Co"
    assert changed is None
    assert read["jobTitle"] == "Engineer"
    assert deleted is None
    assert emulator.requests[1].headers["content-type"] == "application/json"


async def test_filters_arrive_as_written(graph: Connection) -> None:
    """Quotes, ampersands, plus signs and letters beyond ASCII in a filter find what they should."""
    everyone = await graph.invoke("users", query={"$select": "id,displayName,userPrincipalName"})
    for user in everyone:
        literal = user["userPrincipalName"].replace("'", "''")
        found = await graph.invoke("users", query={"$filter": f"userPrincipalName eq '{literal}'", "$select": "id"})
        assert [each["id"] for each in found] == [user["id"]]
    assert len(everyone) == 200


async def test_a_collection_is_followed_to_its_end(graph: Connection, emulator: Emulator) -> None:
    """Every page in one list, each item once, the headers of the first request on every page."""
    users = await graph.invoke(
        "users",
        query={"$top": 7, "$count": True, "$filter": "endsWith(userPrincipalName,'contoso.com')"},
        headers={"ConsistencyLevel": "eventual"},
    )
    pages = [request for request in emulator.requests if request.path == "/v1.0/users"]

    assert len({user["id"] for user in users}) == len(users) > 100
    assert len(pages) == -(-len(users) // 7)
    assert {page.headers["consistencylevel"] for page in pages} == {"eventual"}


async def test_one_page_if_wanted(graph: Connection) -> None:
    """paging=False stops after the first page."""
    assert len(await graph.invoke("users", query={"$top": 7}, paging=False)) == 7


async def test_a_link_can_be_followed_by_hand(graph: Connection) -> None:
    """A link that the service made is a path like any other."""
    first = (await graph.invoke("users", query={"$top": 150}, raw=True)).json()
    rest = await graph.invoke(first["@odata.nextLink"])

    assert len({user["id"] for user in (*first["value"], *rest)}) == 200


async def test_typed_responses(graph: Connection) -> None:
    """A type decodes one object, or every item of a collection over all its pages."""
    ada = await graph.invoke(ADA, type=User)
    users = await graph.invoke("users", query={"$top": 90}, type=list[User])

    assert isinstance(ada, User)
    assert ada.display_name == "Ada Lovelace"
    assert len(users) == 200
    assert users[0] == ada


@pytest.mark.parametrize(
    ("verb", "wrong", "right"),
    [
        ("stream", "typ", "type"),
        ("invoke", "timeut", "timeout"),
        ("download", "too", "to"),
        ("stream", "strt", "start"),
    ],
)
async def test_a_misspelt_option_is_found(graph: Connection, verb: str, wrong: str, right: str) -> None:
    """Each verb knows its own names as well as those that all have."""
    call: Any = getattr(graph, verb)
    with pytest.raises(ConfigurationError, match=f"Did you mean '{right}'"):
        await call("users", **{wrong: 3})


async def test_a_stream_gives_items(graph: Connection) -> None:
    """The type of a stream is that of an item; who gives a list is told."""
    with pytest.raises(ConfigurationError, match=r"Use type=User\."):
        graph.stream("users", type=list[User])


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_no_body_has_no_content_type(graph: Connection, emulator: Emulator, method: str) -> None:
    """An action without a body says nothing about its type: services refuse what is no JSON."""
    with pytest.raises(APIStatusError):  # the emulator has no such action
        await graph.invoke(f"{ADA}/revokeSignInSessions", method=method)

    assert "content-type" not in emulator.requests[-1].headers


async def test_a_path_as_segments(graph: Connection, emulator: Emulator) -> None:
    """Every verb takes the segments of a path, each escaped as a whole."""
    key = "ada@contoso.com"
    ada = await graph.invoke(["users", key])
    many = [result async for _, result in graph.invoke_many([["users", key], ["users", key]])]
    batch = await graph.batch([["users", key], {"path": ["users", key]}, Request(["users", key])])
    groups = [group async for group in graph.stream(["users", key, "memberOf"])]
    assert [ada] * 5 == [*many, *batch]
    assert groups == await graph.invoke(f"users/{key}/memberOf")

    with pytest.raises(NotFoundError):
        await graph.invoke(["users", "a/b'c%d#e?f"])
    assert emulator.requests[-1].path == "/v1.0/users/a/b'c%d#e?f"


async def test_a_type_that_does_not_fit(graph: Connection) -> None:
    """A response that is not of the type requested says where it differs."""

    class Wrong(msgspec.Struct):
        id: int

    with pytest.raises(DecodeError, match=r"Expected `int`, got `str`"):
        await graph.invoke(ADA, type=Wrong)


async def test_raw_gives_the_response(graph: Connection, emulator: Emulator) -> None:
    """raw=True shows status, headers, body and ids."""
    response = await graph.invoke(ADA, raw=True)

    assert isinstance(response, Response)
    assert response.status == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["id"] == emulator.user.id
    assert response.request_id
    assert response.client_request_id == emulator.requests[-1].headers["client-request-id"]
    assert response.attempts == 1
    assert "Ada" in response.text
    assert "Ada" not in repr(response)


async def test_a_plain_number(graph: Connection, emulator: Emulator) -> None:
    """$count is an int, also behind the byte order mark that Graph sends, and a text with raw=True."""
    headers = {"ConsistencyLevel": "eventual"}
    count = await graph.invoke("users/$count", headers=headers, raw=True)
    assert count.text == "200"
    assert await graph.invoke("users/$count", headers=headers) == 200
    emulator.faults.add(
        "/v1.0/users/$count", times=2, status=200, body=b"\xef\xbb\xbf200", headers={"Content-Type": "text/plain"}
    )
    assert await graph.invoke("users/$count", headers=headers) == 200
    assert await graph.invoke("users/$count", headers=headers, type=int) == 200


async def test_an_error_has_the_facts(graph: Connection, emulator: Emulator) -> None:
    """Status, code, both ids, attempts, method and URL; no query and no token."""
    with pytest.raises(NotFoundError) as caught:
        await graph.invoke("users/nobody@contoso.com", query={"$select": "id"})
    error = caught.value

    assert error.status == 404
    assert error.code == "Request_ResourceNotFound"
    assert error.request_id
    assert error.client_request_id == emulator.requests[-1].headers["client-request-id"]
    assert error.attempts == 1
    assert error.method == "GET"
    assert error.url == f"{emulator.graph_url}/v1.0/users/nobody@contoso.com"
    assert "nobody@contoso.com" in str(error)
    assert "$select" not in str(error)


async def test_each_status_has_its_class(graph: Connection, emulator: Emulator) -> None:
    """400 and 403 are told apart, and a 403 says what to do; other statuses are still API errors."""
    with pytest.raises(BadRequestError, match="Could not find a property named 'shoeSize'"):
        await graph.invoke("users", query={"$select": "shoeSize"})
    emulator.faults.add("/v1.0/*", status=403)
    with pytest.raises(ForbiddenError, match="Grant the application"):
        await graph.invoke(ADA)
    emulator.faults.add("/v1.0/*", status=418, body="<p>short and stout", headers={"Content-Type": "text/html"})
    with pytest.raises(APIStatusError, match="418: no reason given \\(text/html"):
        await graph.invoke(ADA)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"path": "https://evil.example/users"}, "path"),
        ({"path": "users/../../beta/users"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "users", "query": {"$top": None}}, "query"),
        ({"path": "users", "method": "GET /"}, "method"),
        ({"path": "users", "headers": {"X-A": "1\r\nX-B: 2"}}, "headers"),
        ({"path": "users", "headers": {"X A": "1"}}, "headers"),
        ({"path": "users", "headers": {"Authorization": "Bearer mine"}}, "headers"),
        ({"path": "users", "method": "POST", "body": object()}, "body"),
        ({"path": "users", "method": "POST", "body": "text"}, "content_type"),
        ({"path": "users", "parameters": {"VaultName": "x"}}, "parameters"),
        ({"path": "users", "parameters": "x"}, "parameters"),
        ({"path": "users", "query": "$top=1"}, "query"),
        ({"path": "users", "headers": ["X"]}, "headers"),
        ({"path": "users", "method": "CONNECT"}, "method"),
        ({"path": "users", "timeout": 0}, "timeout"),
        ({"path": "users", "timeout": "5"}, "timeout"),
        ({"path": "users", "method": "POST", "body": {}, "type": "str"}, "type"),
        ({"path": "users\ud800"}, "path"),
        ({"path": "users", "method": "POST", "body": "\ud800", "content_type": "text/plain"}, "body"),
    ],
)
async def test_bad_arguments_are_errors_before_any_request(
    graph: Connection, emulator: Emulator, arguments: dict[str, Any], field: str
) -> None:
    """What cannot be sent is named, and nothing is sent."""
    emulator.requests.clear()
    with pytest.raises(ConfigurationError) as caught:
        await graph.invoke(**arguments)

    assert caught.value.field == field
    assert caught.value.hint
    assert not emulator.requests


async def test_bytes_go_as_they_are(graph: Connection, emulator: Emulator) -> None:
    """A body of bytes with its content type is not touched."""
    with pytest.raises(APIStatusError):
        await graph.invoke("users", method="POST", body=b"\x00\x01", content_type="application/octet-stream")

    assert emulator.requests[-1].headers["content-type"] == "application/octet-stream"
