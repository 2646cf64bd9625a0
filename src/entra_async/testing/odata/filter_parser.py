"""
The ``$filter`` language as far as directory objects know it: a tokenizer and a recursive-descent parser.

Sources:
    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (section 5.1.1, $filter)
    https://learn.microsoft.com/en-us/graph/filter-query-parameter
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from entra_async.testing.odata.filter import (
    COUNT,
    Combination,
    Comparison,
    FilterError,
    Node,
    ODataFilter,
    Property,
    Quantifier,
    parse_moment,
)

__all__ = ("parse_filter",)

_TOKEN: Final = re.compile(
    r"""(?P<String>'(?:[^']|'')*')
    | (?P<Guid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})
    | (?P<DateTimeOffset>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<Double>-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+))
    | (?P<Int32>-?\d+)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<count>\$count\b)
    | (?P<mark>[(),:/])""",
    re.VERBOSE | re.ASCII,
)
_KINDS: Final = {  # what the OData library calls the operators in its messages
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual",
    "lt": "LessThan",
    "le": "LessThanOrEqual",
}
_FUNCTIONS: Final = {"startswith": "startsWith", "endswith": "endsWith", "contains": "contains"}
_WORDS: Final[Mapping[str, tuple[str, Any]]] = {
    "true": ("Boolean", True),
    "false": ("Boolean", False),
    "null": ("null", None),
}
_QUANTIFIERS: Final[Mapping[str, Literal["any", "all"]]] = {"any": "any", "all": "all"}
_MAX_DEPTH: Final = 100
_INT32_DIGITS: Final = 10


def parse_filter(text: str, properties: Mapping[str, Property], type_name: str) -> ODataFilter:
    """
    Parse a ``$filter`` and check every name and literal in it.

    Args:
        text: The filter, decoded.
        properties: What there is to filter on.
        type_name: The entity type, such as ``microsoft.graph.user``, for messages.

    Raises:
        FilterError: If the text is no filter over these properties.
    """
    return ODataFilter(_FilterParser(text, properties, type_name).parse())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _FilterParser:
    def __init__(self, text: str, properties: Mapping[str, Property], type_name: str) -> None:
        self._text = text
        self._properties = properties
        self._type_name = type_name
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0
        self._variables: list[dict[str, Property]] = []  # of the quantifiers around, the innermost last

    def parse(self) -> Node:
        node = self._either()
        if self._peek().kind != "end":
            raise self._syntax_error()
        return node

    def _either(self) -> Node:
        parts = [self._both()]
        while self._accept("or"):
            parts.append(self._both())
        return Combination("or", tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self) -> Node:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return Combination("and", tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            message = "The recursion limit has been exceeded."
            raise FilterError(message)
        node = self._term()
        self._depth -= 1
        return node

    def _term(self) -> Node:
        if self._accept("not"):
            return Combination("not", (self._negated(),))
        if self._accept("("):
            node = self._either()
            self._expect(")")
            return node
        if self._at_function():
            return self._function()
        path, declared = self._path()
        if self._accept("/"):
            return self._quantifier(path, declared)
        return self._comparison(path, declared)

    def _negated(self) -> Node:
        # "not" binds tighter than "eq": without parentheses it negates the property, not the comparison.
        bare = self._peek().kind == "word" and self._peek().text.lower() != "not" and not self._at_function()
        node = self._one()
        if bare and isinstance(node, Comparison):
            message = (
                "A unary operator with an incompatible type was detected. "
                f"Found operand type 'Edm.{node.type}' for operator kind 'Not'."
            )
            raise FilterError(message)
        return node

    def _at_function(self) -> bool:
        return self._peek().text.lower() in _FUNCTIONS and self._peek(1).text == "("

    def _path(self) -> tuple[tuple[str, ...], Property]:
        """Return the names up to a quantifier or an operator, without an item's, and the property they lead to."""
        path: tuple[str, ...] = ()
        first = self._expect_kind("word")
        if self._variables:
            if first not in self._variables[-1]:
                raise self._unknown(first)
            declared = self._variables[-1][first]
        else:
            path, declared = (first,), self._property(first, self._properties)
        while self._peek().text == "/" and not (self._peek(1).text in _QUANTIFIERS and self._peek(2).text == "("):
            self._next += 1
            if self._peek().kind == "count":
                self._next += 1
                self._check_collection(path, declared)
                return (*path, COUNT), Property("Int32")
            name = self._expect_kind("word")
            path, declared = (*path, name), self._property(name, declared.members)
        return path, declared

    def _quantifier(self, path: tuple[str, ...], declared: Property) -> Node:
        """Parse the rest of ``property/any(variable:variable eq 'literal')``."""
        operator = _QUANTIFIERS[self._expect_kind("word")]
        self._check_collection(path, declared)
        self._expect("(")
        variable = self._expect_kind("word")
        if any(variable in outer for outer in self._variables):
            message = f"The range variable '{variable}' has already been declared."
            raise FilterError(message)
        self._expect(":")
        item = (
            Property("String")
            if declared.type == "Collection(String)"
            else Property("Complex", members=declared.members)
        )
        self._variables.append({variable: item})
        body = self._either()
        self._variables.pop()
        self._expect(")")
        return Quantifier(operator, path, body)

    def _check_collection(self, path: tuple[str, ...], declared: Property) -> None:
        if not declared.type.startswith("Collection"):
            message = f"Any/All may only be used following a collection; '{'/'.join(path)}' is none."
            raise FilterError(message)

    def _function(self) -> Comparison:
        function = _FUNCTIONS[self._expect_kind("word").lower()]
        self._expect("(")
        path, declared = self._path()
        self._expect(",")
        kind, value = self._literal()
        self._expect(")")
        if declared.type != "String" or kind != "String":
            signature = f"{function.lower()}(Edm.String Nullable=true, Edm.String Nullable=true)"
            message = (
                f"No function signature for the function with name '{function.lower()}' matches the specified "
                f"arguments. The function signatures considered are: {signature}."
            )
            raise FilterError(message)
        return Comparison(function, path, "String", (value,))

    def _comparison(self, path: tuple[str, ...], declared: Property) -> Comparison:
        word = self._expect_kind("word").lower()
        if word == "in":
            self._expect("(")
            values = [self._typed_literal(declared, "eq")]
            while self._accept(","):
                values.append(self._typed_literal(declared, "eq"))
            self._expect(")")
            return Comparison("in", path, declared.type, tuple(values))
        if word not in _KINDS:
            raise self._syntax_error(back=1)
        return Comparison(word, path, declared.type, (self._typed_literal(declared, word),))

    def _typed_literal(self, declared: Property, word: str) -> Any:
        token = self._peek()
        if declared.type == "Double" and token.kind in ("Int32", "Double"):
            self._next += 1
            return float(token.text)
        kind, value = self._literal()
        if kind == "null" and word in ("eq", "ne") and not declared.type.startswith("Collection"):
            return None
        if kind != declared.type:
            found = "<null>" if kind == "null" else f"Edm.{kind}"
            message = (
                "A binary operator with incompatible types was detected. "
                f"Found operand types 'Edm.{declared.type}' and '{found}' for operator kind '{_KINDS[word]}'."
            )
            raise FilterError(message)
        return value

    def _literal(self) -> tuple[str, Any]:
        """Return the next literal: the name of its type, and its value."""
        token = self._peek()
        self._next += 1
        match token.kind:
            case "String":
                return token.kind, token.text[1:-1].replace("''", "'")
            case "DateTimeOffset":
                return token.kind, parse_moment(token.text)
            case "Int32":
                return token.kind, self._int32(token)
            case "Double":
                return token.kind, float(token.text)
            case "Guid":
                return token.kind, token.text
            case "word" if token.text in _WORDS:
                return _WORDS[token.text]
        raise self._syntax_error(back=1)

    def _int32(self, token: _Token) -> int:
        # The length first: reading thousands of digits takes long, and Python refuses it.
        digits = token.text.lstrip("-0") or "0"
        value = int(f"-{digits}" if token.text[0] == "-" else digits) if len(digits) <= _INT32_DIGITS else None
        if value is None or not -(2**31) <= value < 2**31:
            message = f"The value at position {token.at} is too large or too small for an Edm.Int32."
            raise FilterError(message)
        return value

    def _property(self, name: str, properties: Mapping[str, Property]) -> Property:
        if name not in properties:
            raise self._unknown(name)
        return properties[name]

    def _unknown(self, name: str) -> FilterError:
        return FilterError(f"Could not find a property named '{name}' on type '{self._type_name}'.")

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _accept(self, text: str) -> bool:
        found = self._peek().text.lower() == text
        self._next += found
        return found

    def _expect(self, text: str) -> None:
        if self._peek().text != text:
            raise self._syntax_error()
        self._next += 1

    def _expect_kind(self, kind: str) -> str:
        token = self._peek()
        if token.kind != kind:
            raise self._syntax_error()
        self._next += 1
        return token.text

    def _syntax_error(self, *, back: int = 0) -> FilterError:
        return FilterError(f"Syntax error at position {self._tokens[self._next - back].at} in '{self._text}'.")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            problem = "There is an unterminated string literal" if text[at] == "'" else "Syntax error"
            message = f"{problem} at position {at} in '{text}'."
            raise FilterError(message)
        yield _Token(str(found.lastgroup), found[0], at)
        at = found.end()
    yield _Token("end", "", len(text))
