"""
Conditions such as ``If-Match``: whether they match an object's ETag.

Source:
    RFC 9110, sections 8.8.3 and 13.1: https://www.rfc-editor.org/rfc/rfc9110#section-13.1
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ("matches_entity_tag",)

_TAG: Final = re.compile(r'"[^"]*"')  # a tag may hold a comma, as OneDrive's do


def matches_entity_tag(condition: str, *tags: str) -> bool:
    """Return whether a condition's value is ``*``, or lists one of these tags."""
    return condition.strip() == "*" or not set(_TAG.findall(condition)).isdisjoint(tags)
