"""
Every error this package raises, in one tree.

::

    EntraError(Exception)
    ├── ConfigurationError(ValueError)          an invalid argument, before any network call; names the field
    ├── ClosedError(RuntimeError)               a Session used after it was closed, or from another event loop
    ├── AuthenticationError                     a token request failed, or could not be sent
    │   ├── CredentialUnavailableError          this credential is not available here
    │   ├── InteractionRequiredError            the user must act: MFA, policy, expired sign-in
    │   ├── ConsentRequiredError                a permission was not granted
    │   └── TokenMismatchError                  the token is of another tenant, application or service
    ├── StoreError                              a token store, or the state of a delta query, cannot be used
    └── RequestError                            a request failed
        ├── TransportError(ConnectionError)     no complete response arrived
        │   └── RequestTimeoutError(TimeoutError)
        │       └── OperationTimeoutError       an operation goes on at the service; its token resumes it
        ├── UnsafeLinkError                     a link leads to another host; nothing was sent there
        ├── PagingError                         the pages of a collection are invalid: a link loop, a wrong shape
        ├── FailedDependencyError               not sent: a request of the batch that it depends on failed
        ├── DecodeError(ValueError)             the response does not fit its content type or ``type=``
        ├── OperationFailedError                a long-running operation ended without success
        ├── ContentChangedError                 the content changed during an upload or a download
        └── APIStatusError                      the service responded with an error status
            ├── BadRequestError 400
            ├── UnauthorizedError 401
            ├── ForbiddenError 403
            ├── NotFoundError 404
            ├── ConflictError 409
            ├── GoneError 410
            ├── PreconditionFailedError 412
            ├── ThrottledError 429
            └── ServerError 5xx

No message, attribute or pickle of an error holds an access token, a secret, a request body or a query string. (The
token that resumes an operation is no access token; it holds the URL to poll.)
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
        hint: What to do about it, or ``None``.
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
    An argument is missing, malformed or does not fit the others. Nothing was sent.

    Attributes:
        field: The parameter to correct, or ``None`` if it is not one.
    """

    field: str | None

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class ClosedError(EntraError, RuntimeError):
    """A Session was used after it was closed, or from another event loop than the one it is open in."""


class AuthenticationError(EntraError):
    """
    A token request failed, or the token service could not be reached.

    Attributes:
        code: The AADSTS code, such as ``"AADSTS7000215"``, or ``None`` if there is none.
        error: The OAuth error, such as ``"invalid_client"`` (RFC 6749, section 5.2), or ``None``.
        suberror: Microsoft's finer class, such as ``"basic_action"``, or ``None``.
        status: HTTP status of the response, or ``None`` if there was none.
        claims: The claims to request at the next sign-in (a JSON text), or ``None``.
        correlation_id: For Microsoft's support.
        trace_id: For Microsoft's support, too.
        attempts: How many token requests were sent.
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
    """A credential that is not available on this machine: no managed identity, no Azure CLI, no key store."""


class InteractionRequiredError(AuthenticationError):
    """The user must act before a token is issued: MFA, a policy, an expired or revoked sign-in."""


class ConsentRequiredError(AuthenticationError):
    """The user or an administrator has not granted the requested permission."""


class TokenMismatchError(AuthenticationError):
    """The token is of another tenant, application or service than requested; it was discarded."""


class StoreError(EntraError):
    """
    A token store or the state of a delta query cannot be used.

    Its file is damaged, of another kind, or locked; a token store may be open to others or sealed with another key, a
    state may have been changed by another run. A Session goes on without its token store, and emits an event; a delta
    query does not go on without its state.
    """


class RequestError(EntraError):
    """
    A request failed.

    Attributes:
        method: HTTP method.
        url: Its URL, without query string and fragment.
        attempts: How many times it was sent.
        client_request_id: The id that was sent, which the service logs.
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
    No complete response arrived: DNS, TLS, proxy, a refused, reset or cut connection.

    Attributes:
        sent: ``False`` if it is certain that the service saw nothing of the request, so that any method may be sent
            again; ``True`` if it may have acted.
        max_attempts: How many attempts are of use, if that is known: 1 if the next one would fail in the same way.
    """

    sent: bool
    max_attempts: int | None = None

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
    """A time-out: waiting for a slot of the pool, connecting, reading, or the whole call."""


class OperationTimeoutError(RequestTimeoutError):
    """
    A long-running operation took longer than the time-out. It goes on at the service.

    Attributes:
        token: Resumes it, here or in another process.
    """

    token: str | None = None


class UnsafeLinkError(RequestError):
    """A link, redirect or path leads to a host that is not the service's own. Nothing was sent there."""


class PagingError(RequestError):
    """The pages of a collection are invalid: a link that was already followed, or a page of a wrong shape."""


class FailedDependencyError(RequestError):
    """
    A request of a batch was not sent, because one it depends on failed.

    Attributes:
        depends_on: The id of the one that failed.
    """

    depends_on: str | None = None


class DecodeError(RequestError, ValueError):
    """The response is not JSON, or does not fit ``type=``."""


class OperationFailedError(RequestError):
    """
    A long-running operation ended without success.

    Attributes:
        status: The operation's status, such as ``"Failed"`` or ``"Canceled"``.
        code: The service's own code, such as ``"SkuNotAvailable"``, or ``None``.
    """

    status: str = ""
    code: str | None = None


class ContentChangedError(RequestError):
    """The content changed or ended early during an upload or a download. No mixed content was saved."""


class APIStatusError(RequestError):
    """
    The service responded with an error status.

    Attributes:
        status: HTTP status.
        code: The service's own code, innermost known one first, such as ``"Request_ResourceNotFound"``.
        request_id: The service's id of this request, for Microsoft's support.
        headers: The response's headers, names in lower case.
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
    """400: the request is invalid; the same request will fail again."""


class UnauthorizedError(APIStatusError):
    """401: the token was rejected."""


class ForbiddenError(APIStatusError):
    """403: the token lacks a permission."""


class NotFoundError(APIStatusError):
    """404: there is no such resource."""


class ConflictError(APIStatusError):
    """409: the resource is in another state, or exists already."""


class GoneError(APIStatusError):
    """410: the resource, or the state of a link, is gone."""


class PreconditionFailedError(APIStatusError):
    """412: ``If-Match`` no longer matches."""


class ThrottledError(APIStatusError):
    """
    429: too many requests, for longer than the call may wait.

    Also when a call was not sent at all (``attempts`` is 0), since its limiter was paused for longer than that.

    Attributes:
        retry_after_s: The service's ``Retry-After`` in seconds, or ``None`` without one.
    """

    retry_after_s: float | None = None


class ServerError(APIStatusError):
    """5xx: the service failed."""
