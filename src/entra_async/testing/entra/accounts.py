"""The users who can sign in: their passwords, and what prevents it."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Directory

__all__ = ("Accounts", "User")

# Smart lockout: https://learn.microsoft.com/en-us/entra/identity/authentication/howto-password-smart-lockout
_WRONG_PASSWORDS: Final = 10
_LOCKOUT_S: Final = 60.0


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """
    A user who can sign in. Change it while the emulator runs to provoke an error.

    Attributes:
        id: Object id.
        user_principal_name: The name to sign in with.
        display_name: The display name.
        password: A new one revokes what the old one brought.
        mfa_required: Whether a second factor is required; flows without a page then fail (50076).
        mfa_unregistered: Whether the second factor must be registered first (50079).
        locked: Whether the account is locked (50053).
        disabled: Whether the account is disabled (50057).
        password_expired: Whether the password has expired (50055).
        blocked_by_policy: Whether conditional access refuses the user (53003).
        sessions_valid_from: Epoch seconds before which no session or refresh token is valid any more.
    """

    id: str
    user_principal_name: str
    display_name: str
    password: str = field(repr=False)
    mfa_required: bool = False
    mfa_unregistered: bool = False
    locked: bool = False
    disabled: bool = False
    password_expired: bool = False
    blocked_by_policy: bool = False
    sessions_valid_from: float = 0.0
    _wrong_passwords: int = field(default=0, init=False, repr=False)
    _locked_out_until: float = field(default=0.0, init=False, repr=False)
    _revocations: int = field(default=0, init=False, repr=False)

    @property
    def security_stamp(self) -> tuple[str, int]:
        """Stored with a session or refresh token, which is revoked once this has changed."""
        return self.password, self._revocations

    def revoke_sessions(self, *, now: float) -> None:
        """Make every session and refresh token the user has worthless."""
        self._revocations += 1
        self.sessions_valid_from = now

    def check_password(self, password: str, *, now: float) -> None:
        """
        Check what was typed.

        Raises:
            AadstsError: If the account is locked (50053) or disabled (50057), or the password wrong (50126) or
                expired (50055).
        """
        if self.locked or now < self._locked_out_until:
            raise AadstsError(50053)
        if not hmac.compare_digest(self.password.encode(), password.encode()):
            self._wrong_passwords += 1
            if self._wrong_passwords >= _WRONG_PASSWORDS:
                self._wrong_passwords = 0
                self._locked_out_until = now + _LOCKOUT_S
            raise AadstsError(50126)
        self._wrong_passwords = 0
        self.check_enabled()
        if self.password_expired:
            raise AadstsError(50055)

    def check_enabled(self) -> None:
        """
        Check that the account may sign in at all.

        Raises:
            AadstsError: 50057 if it is disabled.
        """
        if self.disabled:
            raise AadstsError(50057)

    def check_policies(self, *, mfa: bool, error: str) -> None:
        """
        Check what conditional access requires of a flow that shows no page.

        Args:
            mfa: Whether a second factor was passed when the user signed in.
            error: The OAuth error where a sign-in page would help.

        Raises:
            AadstsError: 53003 blocked; 50079 and 50076, with claims to sign in with.
        """
        if self.blocked_by_policy:
            raise AadstsError(53003)
        if mfa or not (self.mfa_required or self.mfa_unregistered):
            return
        claims = '{"access_token":{"capolids":{"essential":true,"values":["3f1a6f2e-5e7b-4d0b-9c57-6a3a2c8d1b40"]}}}'
        code = 50079 if self.mfa_unregistered else 50076
        raise AadstsError(code, error=error, suberror="basic_action", claims=claims)


class Accounts:
    """The users of the directory who were given a password."""

    def __init__(self, directory: Directory, clock: EmulatorClock) -> None:
        self._directory = directory
        self._clock = clock
        self._users: dict[str, User] = {}

    def give_password(self, index: int) -> User:
        """Give a user of the directory, named by number, a random password."""
        profile = self._directory.user(index)
        user = User(
            id=profile["id"],
            user_principal_name=profile["userPrincipalName"],
            display_name=profile["displayName"],
            password=secrets.token_urlsafe(16),
        )
        self._users[user.id] = user
        return user

    def create(self, name: str) -> User:
        """
        Create a user with a password.

        Args:
            name: What comes before the ``@`` of the user principal name.

        Raises:
            ValueError: If the name is taken.
        """
        user_principal_name = f"{name}@{self._directory.domain}"
        if self._directory.users.find(user_principal_name) is not None:
            message = f"There is a user {user_principal_name} already."
            raise ValueError(message)
        profile = {
            "accountEnabled": True,
            "assignedLicenses": [],
            "businessPhones": [],
            "displayName": name.replace(".", " ").title(),
            "mail": user_principal_name,
            "mailNickname": name,
            "userPrincipalName": user_principal_name,
            "userType": "Member",
        }
        return self.give_password(self._directory.users.create(profile))

    def find(self, user_principal_name: str) -> User:
        """
        Return the user of that name, in any case of letters.

        Raises:
            AadstsError: 50034 if the tenant has no such account.
        """
        wanted = user_principal_name.strip().lower()
        for user in self._users.values():
            if user.user_principal_name.lower() == wanted and self._directory.users.find(user.id) is not None:
                return user
        raise AadstsError(50034, user=user_principal_name.strip())

    def get(self, user_id: str) -> User:
        """
        Return the user with that object id.

        Raises:
            AadstsError: 50034 if the account is gone.
        """
        user = self._users.get(user_id)
        if user is None or self._directory.users.find(user_id) is None:
            raise AadstsError(50034, user=user_id)
        return user
