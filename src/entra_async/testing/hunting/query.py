"""
The part of the Kusto Query Language that the emulator's hunting understands, and how a query runs.

A table, and then any number of ``where``, ``project``, ``order by``, ``take`` (or ``limit``) and ``count``.

Sources:
    https://learn.microsoft.com/en-us/kusto/query/ (tabular operators, string operators)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ("Columns", "HuntingError", "KustoQuery", "parse_hunting_query")

Columns = Mapping[str, str]
"""Column names with their types, in order."""

Row = Mapping[str, Any]
Rows = Iterator[Row | None]
"""Rows; ``None`` between them is a chance to yield to other tasks."""

Stage = Callable[[Rows], Rows]

_TOKEN: Final = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<number>-?\d+(?:\.\d+)?)(?!\w)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>==|!=|=~|!~|<=|>=|[|,()<>])""",
    re.VERBOSE | re.ASCII,
)
_MAX_DEPTH: Final = 50
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda value, literal: value == literal,
    "!=": lambda value, literal: value != literal,
    "<": lambda value, literal: value is not None and value < literal,
    "<=": lambda value, literal: value is not None and value <= literal,
    ">": lambda value, literal: value is not None and value > literal,
    ">=": lambda value, literal: value is not None and value >= literal,
}
_TEXT_OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = {  # none of them minds the case
    "=~": lambda value, literal: value == literal,
    "!~": lambda value, literal: value != literal,
    "contains": lambda value, literal: literal in value,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "has": lambda value, literal: re.search(rf"(?<!\w){re.escape(literal)}(?!\w)", value) is not None,
}
_TEXTS: Final = frozenset({"String", "DateTime"})


class HuntingError(Exception):
    """The query can't be run. The message is for its author."""


@dataclass(frozen=True, slots=True)
class KustoQuery:
    """
    A query once parsed.

    Attributes:
        table: Where the rows come from.
        columns: Of the result.
        stages: What is done with the rows, in order.
    """

    table: str
    columns: Columns
    stages: tuple[Stage, ...]

    def run(self, rows: Rows) -> Rows:
        """Return the rows of the result."""
        for stage in self.stages:
            rows = stage(rows)
        return rows


def parse_hunting_query(text: str, tables: Mapping[str, Columns]) -> KustoQuery:
    """
    Parse a query and check every name in it.

    Args:
        text: The query.
        tables: The tables there are, and their columns.

    Raises:
        HuntingError: If it is no query over these tables, or uses what the emulator doesn't support.
    """
    return _KustoParser(text, tables).parse()


class _KustoParser:
    def __init__(self, text: str, tables: Mapping[str, Columns]) -> None:
        self._tables = tables
        self._tokens = [*_tokens(text), ("end", "the end of the query")]
        self._next = 0
        self._depth = 0
        self._columns: Columns = {}

    def parse(self) -> KustoQuery:
        table = self._expect("word")
        if table not in self._tables:
            message = f"'{table}' could not be resolved to a table."
            raise HuntingError(message)
        self._columns = self._tables[table]
        stages = []
        while self._accept("|"):
            stages.append(self._stage())
        if self._tokens[self._next][0] != "end":
            raise self._error()
        return KustoQuery(table, self._columns, tuple(stages))

    def _stage(self) -> Stage:
        match operator := self._expect("word"):
            case "where":
                test = self._either()
                return lambda rows: (row for row in rows if row is None or test(row))
            case "project":
                return self._project()
            case "take" | "limit":
                count = self._whole_number()
                return lambda rows: _take(rows, count)
            case "order" | "sort":
                return self._order()
            case "count":
                self._columns = {"Count": "Int64"}
                return _count
        message = f"The operator '{operator}' is not among those this emulator runs."
        raise HuntingError(message)

    def _project(self) -> Stage:
        names = [self._column()]
        while self._accept(","):
            names.append(self._column())
        self._columns = {name: self._columns[name] for name in names}
        return lambda rows: (row if row is None else {name: row[name] for name in names} for row in rows)

    def _order(self) -> Stage:
        if self._expect("word") != "by":
            raise self._error(back=1)
        name = self._column()
        ascending = self._accept("asc")
        if not ascending:
            self._accept("desc")  # which it is unless it says otherwise
        return lambda rows: _sorted(rows, name, descending=not ascending)

    def _whole_number(self) -> int:
        text = self._expect("number")
        if not text.isdecimal() or len(text) > 18:
            raise self._error(back=1)
        return int(text)

    def _either(self) -> Callable[[Row], bool]:
        tests = [self._both()]
        while self._accept("or"):
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Callable[[Row], bool]:
        tests = [self._one()]
        while self._accept("and"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Callable[[Row], bool]:
        if not self._accept("("):
            return self._comparison()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            message = "The query is nested too deeply."
            raise HuntingError(message)
        test = self._either()
        self._depth -= 1
        if not self._accept(")"):
            raise self._error()
        return test

    def _comparison(self) -> Callable[[Row], bool]:
        name = self._column()
        _, operator = self._tokens[self._next]
        self._next += 1
        if operator in _COMPARISONS:
            literal, compare = self._literal(name), _COMPARISONS[operator]
            return lambda row: compare(row[name], literal)
        if operator in _TEXT_OPERATORS and self._columns[name] in _TEXTS:
            text, holds = str(self._literal(name)).casefold(), _TEXT_OPERATORS[operator]
            return lambda row: holds(str(row[name] or "").casefold(), text)
        raise self._error(back=1)

    def _literal(self, name: str) -> Any:
        kind, text = self._tokens[self._next]
        self._next += 1
        is_text = self._columns[name] in _TEXTS
        if kind == "string" and is_text:
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "number" and not is_text:
            return float(text)
        raise self._error(back=1)

    def _column(self) -> str:
        name = self._expect("word")
        if name not in self._columns:
            message = f"Failed to resolve the column named '{name}'."
            raise HuntingError(message)
        return name

    def _accept(self, text: str) -> bool:
        kind, found = self._tokens[self._next]
        fits = found == text and kind != "string"
        self._next += fits
        return fits

    def _expect(self, kind: str) -> str:
        found, text = self._tokens[self._next]
        if found != kind:
            raise self._error()
        self._next += 1
        return text

    def _error(self, *, back: int = 0) -> HuntingError:
        return HuntingError(f"Syntax error: unexpected {self._tokens[self._next - back][1]}.")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            message = f"Syntax error at position {at}."
            raise HuntingError(message)
        yield str(found.lastgroup), found[0]
        at = found.end()


def _take(rows: Rows, count: int) -> Rows:
    left = count
    while left > 0:
        try:
            row = next(rows)
        except StopIteration:
            return
        left -= row is not None
        yield row


def _count(rows: Rows) -> Rows:
    total = 0
    for row in rows:
        total += row is not None
        if row is None:
            yield None
    yield {"Count": total}


def _sorted(rows: Rows, name: str, *, descending: bool) -> Rows:
    result: list[Row] = []
    for row in rows:
        if row is None:
            yield None
        else:
            result.append(row)
    # Nulls come last in descending order, which is the order unless it says otherwise, and first in ascending order.
    result.sort(key=lambda row: (row[name] is not None, row[name] if row[name] is not None else 0), reverse=descending)
    yield from result
