"""The HTML of the sign-in pages: account, password, second factor, consent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from entra_async.testing.entra.pages.layout import button, field, form, frame

if TYPE_CHECKING:
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.resource_servers import Permission

__all__ = (
    "account_page",
    "admin_page",
    "confirm_page",
    "consent_page",
    "device_code_page",
    "done_page",
    "error_page",
    "mfa_page",
    "password_page",
    "user_name_page",
)

# What Microsoft's consent page says for the permissions nearly every app asks for.
_DESCRIPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "openid": ("Sign you in", "Allows you to sign in to the app with your work or school account."),
    "profile": ("View your basic profile", "Allows the app to see your name, picture and user name."),
    "email": ("View your email address", "Allows the app to read your primary email address."),
    "offline_access": (
        "Maintain access to data you have given it access to",
        "Allows the app to keep what you granted, even while you are not using it.",
    ),
    "User.Read": (
        "Sign you in and read your profile",
        "Allows the app to read your profile and basic company information.",
    ),
    "Mail.Read": ("Read your mail", "Allows the app to read the messages in your mailbox."),
    "Mail.Send": ("Send mail as you", "Allows the app to send messages as you."),
    "Calendars.Read": ("Read your calendars", "Allows the app to read the events in your calendars."),
    "Files.Read": ("Read your files", "Allows the app to read your files."),
    "user_impersonation": ("Access the service as you", "Allows the app to do there what you may do."),
}


def user_name_page(flow: str, app: App, *, hint: str = "", wrong: str = "") -> str:
    """Return the page that asks for the user name."""
    body = (
        f'<p class="soft">to continue to {escape(app.name)}</p>{_wrong(wrong)}'
        f"{field('login', 'Email, phone, or user name', value=hint, kind='email', complete='username')}"
        f"{_actions(button('next', 'Next', first=True), button('cancel', 'Cancel'))}"
    )
    return frame("Sign in", form("/common/login/name", body, flow=flow))


def password_page(flow: str, user: User, *, wrong: str = "") -> str:
    """Return the page that asks for the password."""
    body = (
        f"{_wrong(wrong)}{field('password', 'Password', kind='password', complete='current-password')}"
        f"{_actions(button('next', 'Sign in', first=True), button('back', 'Back'), button('cancel', 'Cancel'))}"
    )
    return frame("Enter password", _account_line(user) + form("/common/login/password", body, flow=flow))


def account_page(flow: str, app: App, users: Collection[User]) -> str:
    """Return the page that asks which of the signed-in accounts to use."""
    accounts = "".join(
        f'<button class="account" name="choice" value="{escape(user.user_principal_name)}">'
        f"{escape(user.display_name)}<small>{escape(user.user_principal_name)}</small></button>"
        for user in users
    )
    other = '<button class="account" name="choice" value="other">Use another account</button>'
    body = f"{accounts}{other}{_actions(button('cancel', 'Cancel'))}"
    intro = f'<p class="soft">to continue to {escape(app.name)}</p>'
    return frame("Pick an account", intro + form("/common/login/account", body, flow=flow))


def mfa_page(flow: str, user: User, number: str, *, wrong: str = "") -> str:
    """Return the page of the second factor; the phone is part of it, for want of a real one."""
    body = (
        f"<p>Open your Authenticator app, and enter the number shown to sign in.</p>{_wrong(wrong)}"
        f'<div class="number" id="display">{escape(number)}</div>'
        f"{field('number', 'Number, as you would enter it on the phone', complete='one-time-code')}"
        f"{_actions(button('approve', 'Approve', first=True), button('deny', 'Deny'))}"
    )
    return frame("Approve sign-in request", _account_line(user) + form("/common/login/mfa", body, flow=flow))


def consent_page(flow: str, app: App, user: User, permissions: Collection[Permission]) -> str:
    """Return the page that lists what the app wants."""
    items = "".join(f"<li>{title}<small>{text}</small></li>" for title, text in map(_described, sorted(permissions)))
    body = (
        f'<p><strong>{escape(app.name)}</strong> <span class="soft">unverified</span></p>'
        f"<p>This app would like to:</p><ul>{items}</ul>"
        '<p class="soft">Accepting these permissions means that you allow this app to use your data as specified '
        "there. You can change these permissions later.</p>"
        f"{_actions(button('accept', 'Accept', first=True), button('decline', 'Cancel'))}"
    )
    return frame("Permissions requested", _account_line(user) + form("/common/login/consent", body, flow=flow))


def admin_page(flow: str, app: App, user: User, permissions: Collection[Permission]) -> str:
    """Return the page that says only an administrator can grant this."""
    names = ", ".join(name for _, name in sorted(permissions))
    body = (
        f"<p>{escape(app.name)} needs permission to access resources in your organization that only an admin can "
        f"grant. Please ask an admin to grant permission to this app before you can use it. (90094)</p>"
        f'<p class="soft">{escape(names)}</p>'
        f"{_actions(button('return', 'Return to the application without granting consent', first=True))}"
    )
    return frame("Need admin approval", _account_line(user) + form("/common/login/consent", body, flow=flow))


def confirm_page(flow: str, app: App, user: User) -> str:
    """Return the page on which the user confirms that they started this sign-in."""
    body = (
        "<p>You're signing in on another device. If it's not you, or you didn't expect this, cancel.</p>"
        f"{_actions(button('continue', 'Continue', first=True), button('cancel', 'Cancel'))}"
    )
    title = f"Are you trying to sign in to {app.name}?"
    return frame(title, _account_line(user) + form("/common/login/confirm", body, flow=flow))


def device_code_page(*, wrong: str = "") -> str:
    """Return the page that asks for the code another device shows."""
    body = (
        f"<p>Enter the code displayed on your app or device.</p>{_wrong(wrong)}{field('user_code', 'Code')}"
        f"{_actions(button('next', 'Next', first=True))}"
    )
    return frame("Enter code", form("/common/oauth2/deviceauth", body))


def done_page(title: str, text: str) -> str:
    """Return a page without a form."""
    return frame(title, f"<p>{escape(text)}</p>")


def error_page(text: str, details: Mapping[str, str]) -> str:
    """Return the page for an error that goes to the user, not to the app."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in details.items())
    intro = "<p>Sorry, but we're having trouble signing you in.</p>"
    return frame("Sign in", f'{intro}<p class="wrong">{escape(text)}</p><dl>{items}</dl>')


def _account_line(user: User) -> str:
    return f'<p class="who">{escape(user.user_principal_name)}</p>'


def _wrong(text: str) -> str:
    return f'<p class="wrong" role="alert">{escape(text)}</p>' if text else ""


def _actions(*buttons: str) -> str:
    return f'<div class="actions">{"".join(buttons)}</div>'


def _described(permission: Permission) -> tuple[str, str]:
    resource, name = permission
    title, text = _DESCRIPTIONS.get(name, (name, "Allows the app to use this permission as you."))
    return escape(title), escape(f"{text} ({name})" if resource else text)
