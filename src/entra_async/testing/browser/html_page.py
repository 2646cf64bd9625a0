"""Reading an HTML page as a browser does: its text, its form, and whether that submits itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

__all__ = ("HtmlForm", "HtmlPage")

_UNSEEN: Final = frozenset({"head", "noscript", "script", "style", "title"})


@dataclass(slots=True)
class HtmlForm:
    """
    A form.

    Attributes:
        action: Where it posts to, absolute.
        fields: Every field by name, with the value it has; hidden ones too.
        choices: The value of each button named ``choice``, in order.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)


class HtmlPage(HTMLParser):
    """
    A page that was loaded.

    Args:
        html: Its source.
        url: Its address.

    Attributes:
        form: The first form, or ``None``.
        submits_itself: Whether a script submits the form at once.
        text: The visible text, blanks folded.
        by_id: The text of each element that has an id.
    """

    def __init__(self, html: str, url: str) -> None:
        super().__init__()
        self.form: HtmlForm | None = None
        self.submits_itself = False
        self.by_id: dict[str, str] = {}
        self._url = url
        self._open: list[tuple[str, str]] = []
        self._words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a form, its fields and buttons."""
        attributes = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append((tag, attributes.get("id", "")))
        if tag == "form" and self.form is None:
            self.form = HtmlForm(urljoin(self._url, attributes.get("action", "")))
        elif tag == "input" and self.form is not None and "name" in attributes:
            self.form.fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "button" and self.form is not None and attributes.get("name") == "choice":
            self.form.choices.append(attributes.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and those inside it that were never closed."""
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth][0] == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        """Collect what is written."""
        inside = {tag for tag, _ in self._open}
        if "script" in inside and "document.forms[0].submit()" in data:
            self.submits_itself = True
        if inside & _UNSEEN:
            return
        self._words.append(data)
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data.strip()


_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "path"})
