"""
OData filters as Python expressions: values quoted, parentheses where they are needed. Pure.

Sources:
    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (section 5.1.1, $filter)
    https://docs.oasis-open.org/odata/odata/v4.01/os/abnf/odata-abnf-construction-rules.txt (literals, identifiers)
    https://learn.microsoft.com/en-us/graph/filter-query-parameter
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import ClassVar, Final, Literal, NoReturn, TypeAlias
from uuid import UUID

from entra_async.errors import ConfigurationError

__all__ = ("Field", "Filter", "Value")

Value: TypeAlias = str | bool | int | float | Decimal | UUID | date | Enum | None
"""What a property can be compared with. A ``datetime`` is a ``date``, and needs a time zone."""

# odataIdentifier; with dots between, the name of a type that a path casts to.
_IDENTIFIER: Final = r"[^\W\d]\w{0,127}"
_PATH: Final = re.compile(rf"{_IDENTIFIER}(?:[./]{_IDENTIFIER})*(?:/\$count)?")
# One for each level of any() and all() within each other: no two may have the same name.
_VARIABLES: Final = "xyzuvw"
_INT64: Final = 2**63
_MAX_EXPONENT: Final = 308  # of Edm.Double, the widest of the numbers


@dataclass(frozen=True, slots=True)
class Filter:
    """
    A condition on the objects of a collection: the value of ``$filter``, whose ``str()`` is OData's text.

    Comparisons of a :class:`Field` make it. ``&``, ``|`` and ``~`` combine: *and*, *or* and *not*. They bind tighter
    than ``==`` does, so a comparison beside them stands in parentheses. Python's own ``and``, ``or`` and ``not`` ask
    for the truth of an expression, which only the service knows: they raise.

    Args:
        text: A filter in OData's own words, for what :class:`Field` cannot say. It is sent as it is: values in it must
            be quoted already.
        advanced: See below.

    Attributes:
        text: The filter.
        advanced: Whether Microsoft Graph takes an operator in it (``ne``, ``not``, ``endswith``, ``/$count``) in
            advanced queries of directory objects only: those with the header ``ConsistencyLevel: eventual`` and
            ``$count=true`` in the query. Some properties ask for that with every operator, and the filter cannot know
            which: https://learn.microsoft.com/en-us/graph/aad-advanced-queries.
        operator: What joins its parts, outermost; empty where nothing does. It decides about parentheses.
        variables: What the items of collections are called in it.

    Raises:
        ConfigurationError: If the text is empty, or a part of a combination is no filter.
    """

    text: str
    _: dataclasses.KW_ONLY
    advanced: bool = False
    # What is written by hand may be anything, so it is put in parentheses as the loosest operator is.
    operator: Literal["or", "and", ""] = dataclasses.field(default="or", repr=False, compare=False)
    variables: frozenset[str] = dataclasses.field(default=frozenset(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            message = "The text of a filter is empty." if isinstance(self.text, str) else "The filter is not a text."
            raise ConfigurationError(message, field="text", hint="Give a condition, or leave the filter out.")

    def __str__(self) -> str:
        return self.text

    def __and__(self, other: Filter) -> Filter:
        return self._joined("and", other)

    def __or__(self, other: Filter) -> Filter:
        return self._joined("or", other)

    def __rand__(self, other: object) -> NoReturn:
        raise _no_filter(other)

    __ror__ = __rand__

    def __invert__(self) -> Filter:
        return Filter(f"not ({self.text})", advanced=True, operator="", variables=self.variables)

    def __bool__(self) -> NoReturn:
        raise _no_truth(self)

    def _joined(self, operator: Literal["or", "and"], other: Filter) -> Filter:
        if not isinstance(other, Filter):
            raise _no_filter(other)
        # An "and" within an "or" needs no parentheses; neither does what stands beside its like.
        left, right = (
            part.text if part.operator in (operator, "and", "") else f"({part.text})" for part in (self, other)
        )
        return Filter(
            f"{left} {operator} {right}",
            advanced=self.advanced or other.advanced,
            operator=operator,
            variables=self.variables | other.variables,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """
    A property to filter by. Its comparisons and methods make a :class:`Filter`.

    ``==``, ``!=``, ``<``, ``<=``, ``>`` and ``>=`` compare with a text, number, boolean, date, datetime with a time
    zone, UUID, enum member or ``None``. ``field / "skuId"`` is a property of a property.

    Args:
        path: The property, such as ``displayName``; ``from/emailAddress/address`` is one further down, and
            ``assignedLicenses/$count`` is how many items there are.

    Raises:
        ConfigurationError: If that is no path, or a value has no OData literal; nothing is ever left unquoted.

    Example:
        >>> str((Field("department") == "R&D") & ~Field("displayName").startswith("O'"))
        "department eq 'R&D' and not (startswith(displayName,'O'''))"
    """

    path: str

    # Equal is what makes a filter here, so no dictionary could tell one from another.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not _PATH.fullmatch(self.path):
            message = f"The property to filter by is {self.path!r}, which no property is named."
            hint = "Give its name, such as 'displayName', or names with '/' between them."
            raise ConfigurationError(message, field="path", hint=hint)

    def __truediv__(self, name: str) -> Field:
        return Field(f"{self.path}/{name}")

    def __eq__(self, value: Value) -> Filter:  # type: ignore[override]
        return self._compared("eq", value)

    def __ne__(self, value: Value) -> Filter:  # type: ignore[override]
        return self._compared("ne", value)

    def __gt__(self, value: Value) -> Filter:
        return self._compared("gt", value)

    def __ge__(self, value: Value) -> Filter:
        return self._compared("ge", value)

    def __lt__(self, value: Value) -> Filter:
        return self._compared("lt", value)

    def __le__(self, value: Value) -> Filter:
        return self._compared("le", value)

    def __and__(self, other: object) -> NoReturn:
        raise _no_filter(self)

    __or__ = __rand__ = __ror__ = __and__

    def __invert__(self) -> NoReturn:
        raise _no_filter(self)

    def __bool__(self) -> NoReturn:
        raise _no_truth(self)

    def is_(self, value: bool | None) -> Filter:  # noqa: FBT001 - reads as it is said
        """Return ``eq true``, ``eq false`` or ``eq null``: what ``==`` does, without a linter's dislike of it."""
        return self == value

    def is_not(self, value: bool | None) -> Filter:  # noqa: FBT001
        """Return ``ne true``, ``ne false`` or ``ne null``: of ``None``, whether there is a value."""
        return self != value

    def in_(self, *values: Value) -> Filter:
        """
        Return whether the property has one of these values. The directory takes 15 in one request.

        Source:
            https://learn.microsoft.com/en-us/graph/filter-query-parameter
        """
        if not values:
            message = f"{self.path} cannot be in no values."
            raise ConfigurationError(message, field="values", hint="Give at least one; do without the call for none.")
        return self._made(f"{self.path} in ({','.join(map(_literal, values))})")

    def has(self, value: Value) -> Filter:
        """Return whether the property, an enumeration of flags, has this one set."""
        return self._made(f"{self.path} has {_literal(value)}")

    def startswith(self, text: str) -> Filter:
        """Return whether the property begins with *text*; the directory ignores case."""
        return self._tested("startswith", text)

    def endswith(self, text: str) -> Filter:
        """Return whether the property ends with *text*; the directory knows that in advanced queries only."""
        return self._tested("endswith", text)

    def contains(self, text: str) -> Filter:
        """Return whether *text* is anywhere in the property; the directory does not know it, other services do."""
        return self._tested("contains", text)

    def any(self, condition: Callable[[Field], Filter]) -> Filter:
        """
        Return whether at least one item of the property, a collection, passes.

        Args:
            condition: From an item to the filter it must pass. It may be called more than once.

        Example:
            >>> str(Field("proxyAddresses").any(lambda item: item.startswith("smtp:")))
            "proxyAddresses/any(x:startswith(x,'smtp:'))"
        """
        return self._quantified("any", condition)

    def all(self, condition: Callable[[Field], Filter]) -> Filter:
        """
        Return whether every item of the property, a collection, passes; of an empty one too.

        Microsoft Graph does not know it; ``~field.any(…)`` says what no item may be.

        Args:
            condition: From an item to the filter it must pass. It may be called more than once.
        """
        return self._quantified("all", condition)

    def _made(self, text: str, *, advanced: bool = False, variables: frozenset[str] = frozenset()) -> Filter:
        counts = self.path.endswith("/$count")
        return Filter(text, advanced=advanced or counts, operator="", variables=variables)

    def _compared(self, operator: str, value: Value) -> Filter:
        if value is None and operator not in ("eq", "ne"):
            message = f"{self.path} is compared with None by {operator!r}, which nothing passes."
            raise ConfigurationError(message, field="value", hint="Compare with None by == or != only.")
        return self._made(f"{self.path} {operator} {_literal(value)}", advanced=operator == "ne")

    def _tested(self, function: str, text: str) -> Filter:
        plain = text.value if isinstance(text, Enum) else text
        if not isinstance(plain, str):
            message = f"{function} on {self.path} is given a {type(text).__name__}."
            raise ConfigurationError(message, field="text", hint="Give a text: only texts have a beginning and an end.")
        return self._made(f"{function}({self.path},{_literal(plain)})", advanced=function == "endswith")

    def _quantified(self, operator: str, condition: Callable[[Field], Filter]) -> Filter:
        for variable in _VARIABLES:
            body = condition(Field(variable))
            if not isinstance(body, Filter):
                raise _no_filter(body)
            if variable not in body.variables:
                text = f"{self.path}/{operator}({variable}:{body.text})"
                return self._made(text, advanced=body.advanced, variables=body.variables | {variable})
        message = f"any() and all() stand more than {len(_VARIABLES)} deep within each other."
        raise ConfigurationError(message, field="condition", hint="Ask for less at once.")


def _literal(value: Value) -> str:
    """Return the OData literal of *value*. It is never in the message of the error: it may be personal."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Enum():
            return _literal(value.value)
        case str():
            quoted = value.replace("'", "''")
            return f"'{quoted}'"
        case UUID():
            return str(value)
        case int() if -_INT64 <= value < _INT64:
            return str(int(value))
        case float() if math.isfinite(value):
            return repr(float(value))
        case Decimal() if value.is_finite() and abs(value.adjusted()) <= _MAX_EXPONENT:
            return format(value, "f")
        case datetime():
            return _moment(value)
        case date():
            return value.isoformat()
        case int() | float() | Decimal():
            message = "A number in a filter is infinite, not a number, or too large for OData."
            hint = "Use whole numbers of 64 bits, and finite numbers."
        case _:
            message = f"A value in a filter is a {type(value).__name__}, which has no OData literal."
            hint = (
                "Use a text, number, boolean, date, datetime with a time zone, UUID, enum member or None; "
                "in_() takes its values one by one."
            )
    raise ConfigurationError(message, field="value", hint=hint)


def _moment(value: datetime) -> str:
    if value.utcoffset() is not None:
        try:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            pass
    message = "A datetime in a filter has no time zone, or no year in UTC."
    hint = "Use datetime.now(UTC), or datetime(…, tzinfo=UTC)."
    raise ConfigurationError(message, field="value", hint=hint)


def _no_truth(operand: Filter | Field) -> ConfigurationError:
    message = f"A {type(operand).__name__} is neither true nor false: only the service evaluates it."
    hint = "Combine with &, | and ~ instead of and, or and not, and put comparisons in parentheses."
    return ConfigurationError(message, hint=hint)


def _no_filter(found: object) -> ConfigurationError:
    message = f"A {type(found).__name__} is used where a filter is needed."
    hint = "Put comparisons beside & and | in parentheses: (Field('a') == 1) & (Field('b') == 2)."
    return ConfigurationError(message, hint=hint)
