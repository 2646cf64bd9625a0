"""
A server in a process of its own that sends bytes made beforehand, so that the client is what limits the rate.

It speaks just enough HTTP/1.1 for that: keep-alive, ``Content-Length`` bodies, no pipelining.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import re
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

HOST: Final = "localhost"
TENANT_ID: Final = "3b1f0c52-7d5e-4d0a-9d43-0d1c6a5b2e11"
CLIENT_ID: Final = "8f6f1f43-21f8-4b9d-8f6e-4c2f7f0a9d22"
ACCESS_TOKEN: Final = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL2dyYXBoLm1pY3Jvc29mdC5jb20ifQ.c2ln"
PAGE_SIZE: Final = 999
LARGE_BYTES: Final = 64 * 2**20
UPLOAD: Final = "/upload"

JSON: Final = "application/json;odata.metadata=minimal;charset=utf-8"

Responses = dict[str, bytes]


def build_user(number: int) -> dict[str, object]:
    """Return one user with the properties Graph sends when none are selected."""
    return {
        "businessPhones": ["+49 89 555 0100"],
        "displayName": f"Ada Lovelace {number}",
        "givenName": "Ada",
        "jobTitle": "Senior Analyst",
        "mail": f"user{number:07}@contoso.com",
        "mobilePhone": None,
        "officeLocation": "18/2111",
        "preferredLanguage": "en-US",
        "surname": f"Lovelace {number}",
        "userPrincipalName": f"user{number:07}@contoso.com",
        "id": f"87d349ed-44d7-43e1-9a83-{number:012}",
    }


def build_response(value: object, *, status: str = "200 OK", media_type: str = JSON) -> bytes:
    """Return a whole HTTP response with this body: bytes as they are, all else as JSON."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {media_type}\r\n"
        "request-id: 2f9f3c1e-6f3b-4b0c-9a57-6e1f0f0d8a10\r\n"
        "Date: Mon, 05 Jan 2026 12:00:00 GMT\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def build_responses(base_url: str, users: int) -> Responses:
    """
    Return every response of the server by request target.

    Args:
        base_url: The server's root, which the links lead back to.
        users: How many users the directory holds.
    """
    authority = f"{base_url}/{TENANT_ID}"
    metadata = {
        "token_endpoint": f"{authority}/oauth2/v2.0/token",
        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{authority}/discovery/v2.0/keys",
        "issuer": f"{authority}/v2.0",
    }
    token = {"token_type": "Bearer", "expires_in": 86399, "ext_expires_in": 86399, "access_token": ACCESS_TOKEN}
    responses = {
        f"/{TENANT_ID}/v2.0/.well-known/openid-configuration": build_response(metadata),
        f"/{TENANT_ID}/oauth2/v2.0/token": build_response(token),
    }
    user = build_response({"@odata.context": f"{base_url}/v1.0/$metadata#users/$entity", **build_user(0)})
    responses["/v1.0/small"] = responses["/v1.0/users/0"] = user
    responses["/v1.0/large"] = build_response(bytes(LARGE_BYTES), media_type="application/octet-stream")
    session = {"uploadUrl": f"{base_url}{UPLOAD}", "nextExpectedRanges": ["0-"]}
    responses["/v1.0/drive/root:/large:/createUploadSession"] = build_response(session)
    starts = range(0, users, PAGE_SIZE)
    for page, start in enumerate(starts):
        items = [build_user(number) for number in range(start, min(start + PAGE_SIZE, users))]
        body: dict[str, object] = {"@odata.context": f"{base_url}/v1.0/$metadata#users"}
        if page + 1 < len(starts):
            body["@odata.nextLink"] = f"{base_url}/v1.0/users?$top={PAGE_SIZE}&$skiptoken={page + 1}"
        target = f"/v1.0/users?$top={PAGE_SIZE}&$skiptoken={page}" if page else "/v1.0/users"
        responses[target] = build_response({**body, "value": items})
    return responses


def build_batch_response(body: bytes, prebuilt: Responses) -> bytes:
    """Return the response to a ``$batch``: for each item the prebuilt body, or 404."""
    responses: list[dict[str, object]] = []
    for item in msgspec.json.decode(body)["requests"]:
        found = prebuilt.get(f"/v1.0/{item['url'].removeprefix('/')}")
        response: dict[str, object] = {"id": item["id"], "status": 200 if found else 404}
        if found:
            response |= {
                "headers": {"Content-Type": "application/json"},
                "body": msgspec.Raw(found.partition(b"\r\n\r\n")[2]),
            }
        responses.append(response)
    return build_response({"responses": responses[::-1]})


def build_upload_response(head: str) -> bytes:
    """Return the answer to a chunk of an upload session."""
    match = re.search(r"content-range: bytes \d+-(\d+)/(\d+)", head, re.IGNORECASE)
    assert match is not None
    end, total = int(match[1]) + 1, int(match[2])
    if end == total:
        return build_response({"id": "1", "size": total}, status="201 Created")
    return build_response({"nextExpectedRanges": [f"{end}-"]}, status="202 Accepted")


class PrebuiltProtocol(asyncio.Protocol):
    """
    One connection: looks up the target of each request and sends the prebuilt response.

    Args:
        responses: Request target to response.
        latency_s: Seconds every response takes.
    """

    def __init__(self, responses: Responses, latency_s: float = 0.0) -> None:
        self._responses = responses
        self._latency_s = latency_s
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to respond on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once a whole request is there."""
        assert self._transport is not None
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).decode("latin-1")
        if len(self._received) < head_end + 4 + content_length(head):
            return  # a large body comes in some hundred pieces: its head is short enough to be read again with each
        body = bytes(self._received[head_end + 4 :])
        self._received.clear()
        target = head.split(" ", 2)[1].replace("%24", "$")
        if target == "/v1.0/$batch":
            response = build_batch_response(body, self._responses)
        elif target == UPLOAD:
            response = build_upload_response(head)
        else:
            response = self._responses.get(target, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, response)
        else:
            self._transport.write(response)


def content_length(head: str) -> int:
    """Return the size of a request's body in bytes."""
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def _serve(certificate: Path, users: int, latency_s: float, ready: Connection) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    responses: Responses = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PrebuiltProtocol(responses, latency_s), HOST, 0, ssl=context)
    base_url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
    responses.update(build_responses(base_url, users))
    ready.send(base_url)
    await server.serve_forever()


def _run(certificate: Path, users: int, latency_s: float, ready: Connection) -> None:
    # Ctrl+C reaches the whole process group; the parent ends this process.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(certificate, users, latency_s, ready))


class BenchServer:
    """
    The server as seen from the process that measures.

    Attributes:
        base_url: Root of the sign-in service and of Graph alike.
        ca_file: PEM file of the authority that signed its certificate.
        users: How many users the directory holds.
    """

    def __init__(self, base_url: str, ca_file: Path, users: int) -> None:
        self.base_url = base_url
        self.ca_file = ca_file
        self.users = users

    @classmethod
    @contextlib.contextmanager
    def start(cls, users: int, *, latency_s: float = 0.0) -> Iterator[Self]:
        """Run a server with that many users until the block ends; each response takes *latency_s* seconds."""
        # A fork would take over the parent's sockets and TLS state.
        spawn = multiprocessing.get_context("spawn")
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        leaf = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
        with tempfile.TemporaryDirectory() as folder:
            ca_file, certificate = Path(folder) / "ca.pem", Path(folder) / "server.pem"
            authority.cert_pem.write_to_path(str(ca_file))
            leaf.private_key_and_cert_chain_pem.write_to_path(str(certificate))
            receiver, sender = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_run, args=(certificate, users, latency_s, sender), daemon=True)
            process.start()
            sender.close()
            try:
                yield cls(receiver.recv(), ca_file, users)
            finally:
                process.terminate()
                process.join()
