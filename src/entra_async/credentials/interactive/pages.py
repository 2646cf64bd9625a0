"""The pages that the browser shows when the sign-in has ended, without scripts or anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from http import HTTPStatus
from string import Template
from typing import Final

from entra_async.errors import AuthenticationError, EntraError
from entra_async.transport.loopback import ReplyPage

__all__ = ("failed_page", "not_found_page", "refused_page", "signed_in_page")

_STYLE: Final = """
:root { color-scheme: light dark; --back: #f3f5f9; --card: #ffffff; --text: #1b1f27; --soft: #5b6473; --line: #e3e7ee;
  --mark: #107c41; --tint: #e5f4ec; }
.failed { --mark: #b3261e; --tint: #fbe9e7; }
@media (prefers-color-scheme: dark) {
  :root { --back: #101318; --card: #191d24; --text: #eef1f6; --soft: #a3adbd; --line: #2a303a;
    --mark: #5dd39e; --tint: #17322a; }
  .failed { --mark: #ff8a80; --tint: #3a1f1e; }
}
* { box-sizing: border-box; margin: 0; }
html { height: 100%; background: var(--back); }
body { min-height: 100%; display: grid; place-items: center; padding: 24px; color: var(--text);
  font: 16px/1.55 "Segoe UI", system-ui, -apple-system, "Helvetica Neue", sans-serif; background: var(--back); }
main { width: 100%; max-width: 460px; padding: 44px 40px 36px; text-align: center; background: var(--card);
  border: 1px solid var(--line); border-radius: 18px; box-shadow: 0 18px 50px -24px rgb(0 0 0 / 35%); }
svg { width: 68px; height: 68px; padding: 18px; border-radius: 50%; background: var(--tint); fill: none;
  stroke: var(--mark); stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
h1 { margin: 22px 0 10px; font-size: 26px; line-height: 1.25; font-weight: 600; letter-spacing: -0.01em; }
p { color: var(--soft); overflow-wrap: anywhere; }
.remedy { margin-top: 22px; padding: 14px 18px; text-align: left; color: var(--text); background: var(--tint);
  border-radius: 12px; }
.remedy b { display: block; margin-bottom: 2px; font-size: 13px; letter-spacing: 0.04em; color: var(--mark); }
footer { margin-top: 28px; padding-top: 18px; border-top: 1px solid var(--line); font-size: 13px; color: var(--soft);
  overflow-wrap: anywhere; }
"""

_TICK: Final = '<path d="M6 17.5 13 24.5 27 9.5"/>'
_CROSS: Final = '<path d="M9 9 24 24M24 9 9 24"/>'

_PAGE: Final = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>$title</title>
<style>$style</style>
</head>
<body class="$kind">
<main>
<svg viewBox="0 0 33 33" aria-hidden="true">$icon</svg>
<h1>$title</h1>
<p>$text</p>
$remedy
<footer>$footer</footer>
</main>
</body>
</html>
"""
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_WAITING: Final = "The application is still waiting. Go back to the sign-in page and finish there."


def signed_in_page() -> ReplyPage:
    """Return the page for a sign-in that brought a token."""
    return _page(
        HTTPStatus.OK, "You are signed in", "You can close this page and return to the application.", footer="All done."
    )


def failed_page(error: EntraError) -> ReplyPage:
    """Return the page for a sign-in that failed: what went wrong, and what to do."""
    correlation_id = error.correlation_id if isinstance(error, AuthenticationError) else None
    ids = f"Correlation ID {correlation_id}" if correlation_id else "You can close this page."
    return _page(
        HTTPStatus.OK, "The sign-in did not work", str(error.args[0]), remedy=error.hint, footer=ids, failed=True
    )


def refused_page() -> ReplyPage:
    """Return the page for an authorization response of another sign-in."""
    text = "This response does not belong to the sign-in that the application waits for."
    remedy = "If you have started more than one sign-in, finish the newest one."
    return _page(HTTPStatus.BAD_REQUEST, "Not this sign-in", text, remedy=remedy, footer=_WAITING, failed=True)


def not_found_page() -> ReplyPage:
    """Return the page for any other path."""
    text = "There is nothing at this address."
    return _page(HTTPStatus.NOT_FOUND, "Not found", text, footer=_WAITING, failed=True)


def _page(
    status: HTTPStatus, title: str, text: str, *, footer: str, remedy: str | None = None, failed: bool = False
) -> ReplyPage:
    html = _PAGE.substitute(
        title=escape(title),
        style=_STYLE,
        kind="failed" if failed else "done",
        icon=_CROSS if failed else _TICK,
        text=escape(text),
        remedy=f'<p class="remedy"><b>What to do</b>{escape(remedy)}</p>' if remedy else "",
        footer=escape(footer),
    )
    return ReplyPage(status, html, _POLICY)
