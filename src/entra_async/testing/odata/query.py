"""
The query string of an OData request: which options it holds, each at most once and none unknown.

Sources:
    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (section 5)
    https://learn.microsoft.com/en-us/graph/query-parameters
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import quote, unquote_plus

__all__ = ("QueryError", "build_query", "parse_boolean", "parse_number", "parse_query", "parse_select")

_SYSTEM_OPTIONS: Final = frozenset(
    {"apply", "compute", "count", "deltatoken", "expand", "filter", "format", "levels", "orderby", "search", "select"}
    | {"skip", "skiptoken", "top"}
)


class QueryError(Exception):
    """The query string is not valid. The message is what an OData service says."""


def parse_query(raw: str, known: Collection[str], *, prefix_optional: bool = False) -> dict[str, str]:
    """
    Return the options of a query string by name, such as ``{"$top": "5"}``, decoded, in the order they came.

    Args:
        raw: The query string as it was sent, without ``?``.
        known: The names of the options that may occur.
        prefix_optional: Whether ``top=5`` is read as ``$top=5``, as Graph's beta version does.

    Raises:
        QueryError: If an option is unknown or repeated.
    """
    options: dict[str, str] = {}
    for pair in filter(None, raw.split("&")):
        name, _, value = (unquote_plus(part) for part in pair.partition("="))
        if name.lower() in ("$skiptoken", "$deltatoken"):
            name = name.lower()  # Microsoft writes $skiptoken and $skipToken
        if prefix_optional and name in _SYSTEM_OPTIONS:
            name = f"${name}"
        if name not in known:
            message = f"The query parameter '{name}' is not supported."
            raise QueryError(message)
        if name in options:
            message = f"Query option '{name}' was specified more than once, but it must be specified at most once."
            raise QueryError(message)
        options[name] = value
    return options


def build_query(options: dict[str, str]) -> str:
    """Return the query string of these options, without ``?``."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())


def parse_boolean(name: str, value: str) -> bool:
    """
    Return the value of an option such as ``$count``.

    Raises:
        QueryError: If it is neither ``true`` nor ``false``.
    """
    if value not in ("true", "false"):
        message = f"Invalid value '{value}' for {name} query option found. Valid values are 'true' and 'false'."
        raise QueryError(message)
    return value == "true"


def parse_number(name: str, value: str) -> int:
    """
    Return the value of an option such as ``$top``.

    Raises:
        QueryError: If it is no whole number, or negative.
    """
    if not (value.isascii() and value.isdecimal() and len(value) < 19):
        message = (
            f"Invalid value '{value}' for {name} query option found. "
            f"The {name} query option requires a non-negative integer value."
        )
        raise QueryError(message)
    return int(value)


def parse_select(value: str, known: Collection[str], type_name: str) -> tuple[str, ...]:
    """
    Return the properties a ``$select`` names, each once.

    Args:
        value: The option's value.
        known: The properties there are.
        type_name: The entity type, such as ``microsoft.graph.user``, for messages.

    Raises:
        QueryError: If it names no property, or one that does not exist.
    """
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if not name:
            message = f"Parsing OData Select and Expand failed: Syntax error in '{value}'."
            raise QueryError(message)
        if name not in known:
            problem = f"Could not find a property named '{name}' on type '{type_name}'."
            message = f"Parsing OData Select and Expand failed: {problem}"
            raise QueryError(message)
    return names
