"""The look of the sign-in pages: one card in the middle of the screen, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("button", "field", "form", "frame", "page_headers", "post_page")

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5f5f5f; --card: #fff; --line: #8a8886; --blue: #0067b8;
  --red: #c4262e; --panel: #f4f6f9; --sky: linear-gradient(150deg, #e9f1fb 0%, #f7f4fb 45%, #e6f5f1 100%); }
@media (prefers-color-scheme: dark) { :root { --ink: #f3f3f3; --soft: #b4b4b4; --card: #23262b; --line: #7d7d7d;
  --blue: #479ef5; --red: #ff99a4; --panel: #2c3037; --sky: linear-gradient(150deg, #14181f, #1d1a26 45%, #12201d); } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; flex-direction: column; align-items: center;
  justify-content: center; padding: 24px 16px; background: var(--sky); color: var(--ink);
  font: 15px/1.4 "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Roboto, sans-serif; }
main { width: 100%; max-width: 440px; padding: 44px; background: var(--card); border-radius: 8px;
  box-shadow: 0 2px 6px rgb(0 0 0 / 20%), 0 12px 40px rgb(0 0 0 / 10%); }
.brand { display: flex; align-items: center; gap: 10px; margin-bottom: 20px; color: var(--soft); font-weight: 600; }
.brand svg { width: 24px; height: 24px; }
h1 { margin: 0 0 14px; font-size: 24px; font-weight: 600; line-height: 1.25; overflow-wrap: anywhere; }
p { margin: 0 0 14px; overflow-wrap: anywhere; }
.who { margin-bottom: 8px; color: var(--soft); }
.soft { color: var(--soft); font-size: 13px; }
.wrong { color: var(--red); }
label { display: block; font-size: 13px; color: var(--soft); }
input { width: 100%; margin: 4px 0 18px; padding: 8px 2px; border: 0; border-bottom: 1px solid var(--line);
  font: inherit; color: inherit; background: transparent; }
input:focus { outline: 0; border-bottom: 2px solid var(--blue); padding-bottom: 7px; }
.actions { display: flex; flex-flow: row-reverse wrap; gap: 8px; margin-top: 22px; }
button { min-width: 108px; padding: 8px 14px; border: 1px solid transparent; border-radius: 4px; font: inherit;
  color: var(--ink); background: var(--panel); cursor: pointer; }
button.first { color: #fff; background: #0067b8; }
button:hover, button:focus-visible { filter: brightness(0.93); outline: 2px solid var(--blue); outline-offset: 2px; }
button.account { display: flex; flex-direction: column; width: 100%; margin: 0 0 8px; padding: 12px 14px;
  text-align: left; }
button.account small { color: var(--soft); }
.number { margin: 6px 0 18px; padding: 12px; border-radius: 6px; background: var(--panel); text-align: center;
  font-size: 44px; font-weight: 600; letter-spacing: 6px; }
ul { margin: 0 0 14px; padding: 0; list-style: none; border-top: 1px solid var(--panel); }
li { padding: 10px 0; border-bottom: 1px solid var(--panel); }
li small { display: block; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 18px 0 0; font-size: 13px;
  color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 18px; font-size: 12px; color: var(--soft); }
@media (max-width: 480px) { main { padding: 28px 24px; } }
"""
_MARK: Final = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 1 22 13 12 23 2 13z" fill="#0067b8"/>'
    '<path d="M12 1 22 13 12 17z" fill="#28a8ea"/><path d="M12 17 22 13 12 23z" fill="#0f548c"/></svg>'
)
_SUBMIT: Final = "document.forms[0].submit()"
_SUBMIT_HASH: Final = base64.b64encode(hashlib.sha256(_SUBMIT.encode()).digest()).decode()


def page_headers() -> dict[str, str]:
    """Return the headers of every page: no caching, no framing, and no script but the one that submits."""
    # No form-action here: browsers hold it against the redirect to the app, too.
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_SUBMIT_HASH}'; frame-ancestors 'none'"
    )
    return {
        "Cache-Control": "no-store, no-cache",
        "Pragma": "no-cache",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def frame(title: str, body: str) -> str:
    """Return a whole page: *title* is text, *body* is HTML."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f'<body><main><div class="brand">{_MARK}Emulated tenant</div><h1>{escape(title)}</h1>{body}</main>'
        "<footer>A local emulator. Nothing here leaves this computer.</footer></body></html>"
    )


def form(action: str, body: str, /, **hidden: str) -> str:
    """Return a form that posts to *action*: *body* is HTML, *hidden* are its hidden fields."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    return f'<form method="post" action="{escape(action)}">{fields}{body}</form>'


def field(name: str, label: str, *, value: str = "", kind: str = "text", complete: str = "off") -> str:
    """Return a labelled field that has the focus."""
    return (
        f'<label for="{name}">{escape(label)}</label><input id="{name}" name="{name}" type="{kind}" '
        f'value="{escape(value)}" autocomplete="{complete}" autocapitalize="none" spellcheck="false" autofocus>'
    )


def button(choice: str, text: str, *, first: bool = False) -> str:
    """Return a button that sends *choice*; the first one is what Enter presses."""
    return f'<button name="choice" value="{escape(choice)}"{" class=first" if first else ""}>{escape(text)}</button>'


def post_page(action: str, fields: Mapping[str, str]) -> str:
    """Return the page that posts *fields* to the app by itself, or by a button where scripts are off."""
    fallback = '<noscript><p>Press the button to go on.</p><button class="first">Continue</button></noscript>'
    return frame("Working…", f"{form(action, fallback, **fields)}<script>{_SUBMIT}</script>")
