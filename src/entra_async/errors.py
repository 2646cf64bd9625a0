"""
Every error this package raises, in one tree.

::

    EntraError(Exception)
    ├── ConfigurationError(ValueError)          refused before any network call; names the field
    ├── ClosedError(RuntimeError)               a Session used after it was closed, or from another event loop
    ├── AuthenticationError                     the token service refused, or could not be asked
    │   ├── CredentialUnavailableError          this way to sign in does not exist here
    │   ├── InteractionRequiredError            a person must act: MFA, policy, expired sign-in
    │   ├── ConsentRequiredError                a permission was not granted
    │   └── TokenMismatchError                  the token is of another tenant, application or service
    ├── StoreError                              a token store, or the state of a delta query, cannot be used
    └── RequestError                            a call was made and gave no usable answer
        ├── TransportError(ConnectionError)     no complete answer arrived
        │   └── RequestTimeoutError(TimeoutError)
        │       └── OperationTimeoutError       an operation goes on at the service; its token resumes it
        ├── UnsafeLinkError                     a link leads away from its service; nothing was sent there
        ├── PagingError                         the pages of a collection make no sense: a loop, a wrong shape
        ├── FailedDependencyError               not sent: a request of the batch that it depends on failed
        ├── DecodeError(ValueError)             the answer is not what its content type or ``type=`` promised
        ├── OperationFailedError                a long-running operation ended without success
        ├── ContentChangedError                 what was sent or received changed midway
        └── APIStatusError                      the service answered with an error status
            ├── BadRequestError 400
            ├── UnauthorizedError 401
            ├── ForbiddenError 403
            ├── NotFoundError 404
            ├── ConflictError 409
            ├── GoneError 410
            ├── PreconditionFailedError 412
            ├── ThrottledError 429
            └── ServerError 5xx

No message, attribute or pickle of an error holds a token, a secret, a request body or a query string. (The one that
resumes an operation is no access token; it holds the address to ask.)
"""

from __future__ import annotations

from typing import Any

__all__ = (
    "APIStatusError",
    "AuthenticationError",
    "BadRequestError",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConsentRequiredError",
    "ContentChangedError",
    "CredentialUnavailableError",
    "DecodeError",
    "EntraError",
    "FailedDependencyError",
    "ForbiddenError",
    "GoneError",
    "InteractionRequiredError",
    "NotFoundError",
    "OperationFailedError",
    "OperationTimeoutError",
    "PagingError",
    "PreconditionFailedError",
    "RequestError",
    "RequestTimeoutError",
    "ServerError",
    "StoreError",
    "ThrottledError",
    "TokenMismatchError",
    "TransportError",
    "UnauthorizedError",
    "UnsafeLinkError",
)


class EntraError(Exception):
    """
    The root of every error raised here.

    Attributes:
        hint: What to do about it, or ``None`` when the message says it all.
    """

    hint: str | None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message} {self.hint}" if self.hint else message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments break the default way to unpickle an exception.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[EntraError], args: tuple[Any, ...], state: dict[str, Any]) -> EntraError:
    error = cls.__new__(cls)
    error.args = args  # OSError's __new__ drops them
    error.__dict__.update(state)
    return error


class ConfigurationError(EntraError, ValueError):
    """
    Something given is missing, malformed or does not fit the rest. Nothing was sent.

    Attributes:
        field: The parameter to mend, as the caller wrote it, or ``None`` when it is not one.
    """

    field: str | None

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class ClosedError(EntraError, RuntimeError):
    """A Session was used after it was closed, or from another event loop than the one it is open in."""


class AuthenticationError(EntraError):
    """
    No token: the token service refused or could not be reached.

    Attributes:
        code: The AADSTS code, such as ``"AADSTS7000215"``, or ``None`` when the answer held none.
        error: The OAuth error, such as ``"invalid_client"`` (RFC 6749, section 5.2), or ``None``.
        suberror: Microsoft's finer class, such as ``"basic_action"``, or ``None``.
        status: HTTP status of the answer, or ``None`` when there was none.
        claims: The claims to ask for at the next sign-in (a JSON text), or ``None``.
        correlation_id: What Microsoft's support asks for.
        trace_id: What Microsoft's support asks for, too.
        attempts: How many times the token service was asked.
    """

    code: str | None
    error: str | None
    suberror: str | None
    status: int | None
    claims: str | None
    correlation_id: str | None
    trace_id: str | None
    attempts: int

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        error: str | None = None,
        suberror: str | None = None,
        status: int | None = None,
        claims: str | None = None,
        correlation_id: str | None = None,
        trace_id: str | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.error = error
        self.suberror = suberror
        self.status = status
        self.claims = claims
        self.correlation_id = correlation_id
        self.trace_id = trace_id
        self.attempts = attempts


class CredentialUnavailableError(AuthenticationError):
    """A way to sign in that does not exist on this machine: no managed identity, no Azure CLI, no key store."""


class InteractionRequiredError(AuthenticationError):
    """A person must act before a token is issued: MFA, a policy, an expired or revoked sign-in."""


class ConsentRequiredError(AuthenticationError):
    """The user or an administrator has not granted the permission asked for."""


class TokenMismatchError(AuthenticationError):
    """The token that came is of another tenant, application or service than was asked for; it was thrown away."""


class StoreError(EntraError):
    """
    A token store or the state of a delta query cannot be used.

    Its file is broken, foreign, or locked; a token store may be open to others or sealed with another key, a state may
    have been moved on by somebody else. A Session goes on without its token store, and tells its listener; a delta
    query does not go on without its state.
    """


class RequestError(EntraError):
    """
    A call that gave no usable answer.

    Attributes:
        method: HTTP method.
        url: Where it went, without query string and fragment.
        attempts: How many times it was sent.
        client_request_id: The id we sent, which the service logs.
    """

    method: str
    url: str
    attempts: int
    client_request_id: str | None

    def __init__(
        self,
        message: str,
        *,
        method: str = "GET",
        url: str = "",
        attempts: int = 1,
        client_request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.method = method
        self.url = url
        self.attempts = attempts
        self.client_request_id = client_request_id


class TransportError(RequestError, ConnectionError):
    """
    No complete answer arrived: DNS, TLS, proxy, a refused, reset or cut connection.

    Attributes:
        sent: ``False`` when it is certain that the service saw nothing of the request, so that any
            method may be sent again; ``True`` when it may have acted.
    """

    sent: bool

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        method: str = "GET",
        url: str = "",
        attempts: int = 1,
        client_request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message, method=method, url=url, attempts=attempts, client_request_id=client_request_id, hint=hint
        )
        self.sent = sent


class RequestTimeoutError(TransportError, TimeoutError):
    """A limit in time was reached: waiting for a place in the pool, connecting, reading, or the whole call."""


class OperationTimeoutError(RequestTimeoutError):
    """
    A long-running operation took longer than the caller would wait. It goes on at the service.

    Attributes:
        token: What resumes it, here or in another process.
    """

    token: str | None = None


class UnsafeLinkError(RequestError):
    """A link, redirect or path leads to a host that is not the service's own. Nothing was sent there."""


class PagingError(RequestError):
    """A collection's pages make no sense: a link that was already followed, or a page without items."""


class FailedDependencyError(RequestError):
    """
    A request of a batch was not sent, because one it depends on failed.

    Attributes:
        depends_on: The id of the one that failed.
    """

    depends_on: str | None = None


class DecodeError(RequestError, ValueError):
    """The answer is not the JSON, or not the ``type=``, that was promised."""


class OperationFailedError(RequestError):
    """
    A long-running operation ended without success.

    Attributes:
        status: The service's word for how it ended, such as ``"Failed"`` or ``"Canceled"``.
        code: The service's own code, such as ``"SkuNotAvailable"``, or ``None``.
    """

    status: str = ""
    code: str | None = None


class ContentChangedError(RequestError):
    """What was being sent or received changed, or ended early, before all of it was there. Nothing mixed was kept."""


class APIStatusError(RequestError):
    """
    The service answered with an error status.

    Attributes:
        status: HTTP status.
        code: The service's own code, innermost known one first, such as ``"Request_ResourceNotFound"``.
        request_id: The service's id of this request: what Microsoft's support asks for.
        headers: The answer's headers, names in lower case.
    """

    status: int
    code: str | None
    request_id: str | None
    headers: dict[str, str]

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        url: str = "",
        attempts: int = 1,
        client_request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message, method=method, url=url, attempts=attempts, client_request_id=client_request_id, hint=hint
        )
        self.status = status
        self.code = code
        self.request_id = request_id
        self.headers = headers or {}


class BadRequestError(APIStatusError):
    """400: the request is wrong; the same request will fail again."""


class UnauthorizedError(APIStatusError):
    """401: the token was refused."""


class ForbiddenError(APIStatusError):
    """403: the token lacks a permission."""


class NotFoundError(APIStatusError):
    """404: there is no such resource."""


class ConflictError(APIStatusError):
    """409: the resource is in another state, or exists already."""


class GoneError(APIStatusError):
    """410: the resource, or the state a link stands for, is gone."""


class PreconditionFailedError(APIStatusError):
    """412: ``If-Match`` no longer matches."""


class ThrottledError(APIStatusError):
    """
    429: too many requests, for longer than the call may wait.

    Also when a call was not sent at all (``attempts`` is 0), since others had been told to wait for longer than it may.

    Attributes:
        retry_after_s: Seconds the service asked to wait, or ``None`` when it did not say.
    """

    retry_after_s: float | None = None


class ServerError(APIStatusError):
    """5xx: the service failed."""
