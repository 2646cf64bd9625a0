"""Check a token's permissions before a call. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from entra_async.errors import ConfigurationError, ConsentRequiredError

__all__ = ("check_permissions",)


def check_permissions(required: Iterable[str] | None, granted: Iterable[str], *, readable: bool, service: str) -> None:
    """
    Check, before a call, that a token holds every permission it needs.

    Args:
        required: Names such as ``"User.Read.All"``, in any case; ``None`` for no check.
        granted: The token's permissions.
        readable: Whether the token can be read; an opaque one passes.
        service: For the message.

    Raises:
        ConsentRequiredError: If some are missing; the message names them.
        ConfigurationError: If *required* is no list of texts.
    """
    if required is None:
        return
    wanted = [] if isinstance(required, str) or not isinstance(required, Iterable) else list(required)
    if not wanted or not all(isinstance(name, str) and name for name in wanted):
        message = f"required_scopes is {required!r}."
        raise ConfigurationError(message, field="required_scopes", hint="Give a list of permissions.")
    present = {name.lower() for name in granted}
    missing = [name for name in wanted if name.lower() not in present]
    if readable and missing:
        message = f"The token for {service} does not permit {', '.join(missing)}."
        hint = "Grant it to the application (or the user), consent to it, and connect again."
        raise ConsentRequiredError(message, hint=hint, attempts=0)
