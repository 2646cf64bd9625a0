"""
Read what services send as JSON and what JSON libraries refuse: other encodings, lone surrogates. Pure.

Only for bodies that were refused: what is JSON in UTF-8 never comes here.

Sources:
    RFC 8259, section 8.1 (UTF-8; a parser may ignore a byte order mark), 8.2 (lone surrogates), 6 (no NaN)
"""

from __future__ import annotations

import codecs
import re
from typing import Final

__all__ = ("decode_text", "find_fault", "rewrite_json")

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # it begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]+)", re.ASCII | re.IGNORECASE)
# Python has codecs of other kinds, too, some of them slow.
_KNOWN: Final = re.compile(r"utf-?(16|32)(-?[lb]e)?|iso-?8859-?\d{1,2}|windows-?125\d|cp125\d|latin-?1|us-ascii")
_ESCAPE: Final = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_REPLACEMENT: Final = b"\\ufffd"
_FAULT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|(-?(?:NaN|Infinity|inf|nan)\b)|(-?\d[\d.eE+-]*+)', re.DOTALL)
_SHOWN: Final = 20
_MOST_DIGITS: Final = 4300  # of an integer, as Python itself has it
_HUGE: Final = float("inf")


def decode_text(body: bytes, content_type: str | None) -> str:
    """
    Return a body as text, by its byte order mark, its ``charset``, or else as UTF-8. What is neither is replaced.

    Args:
        body: The body.
        content_type: Its ``Content-Type``, or ``None``.
    """
    return body.decode(_encoding(body, content_type) or "utf-8", "replace")


def rewrite_json(body: bytes, content_type: str | None) -> bytes | None:
    """
    Return a JSON text in UTF-8, with U+FFFD in the place of each lone surrogate; ``None`` if it is that already.

    Args:
        body: The body.
        content_type: Its ``Content-Type``, or ``None``.
    """
    text = body
    encoding = _encoding(body, content_type)
    if encoding == "utf-8-sig":
        text = body.removeprefix(codecs.BOM_UTF8)
    elif encoding is not None:
        try:
            text = body.decode(encoding).encode()
        except UnicodeError:
            return None
    text = _ESCAPE.sub(_replace_lone, text)
    return None if text == body else text


def find_fault(body: bytes) -> str | None:
    """
    Return which value of a text is no JSON, and where, such as ``"NaN at byte 17"``; ``None`` if that is not known.

    Args:
        body: The text.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"no UTF-8 at byte {error.start}"
    for match in _FAULT.finditer(body):
        word, number = match[1], match[2]
        if word is not None:
            return f"{word.decode()} at byte {match.start()}"
        if number is not None and _is_out_of_range(number):
            shown = number[:_SHOWN].decode() + ("…" if len(number) > _SHOWN else "")
            return f"a number out of range, {shown}, at byte {match.start()}"
    return None


def _encoding(body: bytes, content_type: str | None) -> str | None:
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return encoding
    found = _CHARSET.search(content_type or "")
    name = "" if found is None else found[1].lower()
    if name.startswith(("utf-16", "utf16", "utf-32", "utf32")) and not name.endswith(("le", "be")):
        name += "be" if body.startswith(b"\x00") else "le"  # without a mark the first character is an ASCII one
    if not _KNOWN.fullmatch(name):
        return None
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def _replace_lone(match: re.Match[bytes]) -> bytes:
    lone = match[3] is not None or (match[1] is not None and match[2] is None)
    return _REPLACEMENT if lone else match[0]


def _is_out_of_range(number: bytes) -> bool:
    if (digits := number.lstrip(b"-")).isdigit():
        return len(digits) > _MOST_DIGITS
    try:
        return abs(float(number)) == _HUGE
    except ValueError:
        return False
