"""
The AADSTS codes that a user or an administrator resolves: sign-in, consent, accounts and policies.

Each code has a cause and a remedy. :mod:`entra_async.rules.sign_in.aadsts` reads the tables and documents the kinds.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("ACCOUNT", "ADMIN", "CONSENT", "INTERACTION")

INTERACTION: Final[Mapping[int, tuple[str, str]]] = {
    16000: (
        "More than one account is signed in, or the one chosen is unknown to the tenant.",
        "Sign in with Browser and choose an account of this tenant.",
    ),
    50058: (
        "Nobody is signed in, and the request forbade asking.",
        "Sign in with Browser or DeviceCode, without prompt='none'.",
    ),
    50072: (
        "The user has to register a second factor first.",
        "Sign in with Browser once; the page leads through the registration.",
    ),
    50074: (
        "A second factor is required and was not passed.",
        "Sign in with Browser or DeviceCode and complete the second factor.",
    ),
    50076: (
        "Multifactor authentication is required for this resource.",
        "Sign in with Browser or DeviceCode; a password or a refresh token alone no longer suffices.",
    ),
    50078: (
        "The multifactor authentication of this sign-in is too old.",
        "Sign in again with Browser or DeviceCode to renew it.",
    ),
    50079: (
        "The user has to register for multifactor authentication.",
        "Sign in with Browser once and register, or let the federated provider send the proof of it.",
    ),
    50085: (
        "The refresh token needs a sign-in at the social identity provider.",
        "Sign in again with Browser.",
    ),
    50089: (
        "The sign-in took too long, or its session expired.",
        "Start a new sign-in and finish it without a long break.",
    ),
    50097: (
        "The device itself has to authenticate.",
        "Sign in with Browser on a device that is registered or joined to the tenant.",
    ),
    50125: (
        "The user has to reset or register a password first.",
        "Sign in with Browser; the page leads through it.",
    ),
    50131: (
        "Conditional access interrupted the sign-in because of the device, the location or a policy.",
        "Sign in with Browser and follow the page; the sign-in log names the policy.",
    ),
    50132: (
        "The session ended because the password changed or expired.",
        "Sign in again with the present password.",
    ),
    50133: (
        "The session was revoked, because the password changed or expired.",
        "Sign in again.",
    ),
    50140: (
        "The sign-in stopped at the question whether to stay signed in.",
        "Sign in with Browser and answer the question.",
    ),
    50158: (
        "An external security check, such as one of a partner's MFA service, was not passed.",
        "Sign in with Browser and pass the check.",
    ),
    50173: (
        "The refresh token was revoked: by an administrator, the user, or a new password.",
        "Sign in again and keep the new refresh token.",
    ),
    50199: (
        "The user has to confirm that this is the application meant.",
        "Sign in with Browser and confirm.",
    ),
    53004: (
        "The user has to register for multifactor authentication before going on.",
        "Sign in with Browser and register; an administrator can lift a block caused by risk.",
    ),
    70000: (
        "The code or refresh token is not valid.",
        "Sign in again; send the newest refresh token, whole, to the application that got it.",
    ),
    70008: (
        "The code or refresh token has expired.",
        "Sign in again.",
    ),
    70019: (
        "The device code expired before anyone entered it.",
        "Start the sign-in again and enter the new code in time, usually within 15 minutes.",
    ),
    70020: (
        "The device code is no longer valid.",
        "Start the sign-in again and enter the new code in time.",
    ),
    70043: (
        "The refresh token is older than the tenant's sign-in frequency allows.",
        "Sign in again; the policy is in Conditional Access under session controls.",
    ),
    700003: (
        "The device that the refresh token is bound to is gone from the tenant.",
        "Register the device again, or sign in on another one.",
    ),
    700020: (
        "This grant needs a user.",
        "Sign in with Browser or DeviceCode.",
    ),
    700082: (
        "The refresh token expired because it was not used for too long.",
        "Sign in again, and use the token at least every 90 days.",
    ),
    700084: (
        "The refresh token was issued to a single-page app and lives 24 hours at most.",
        "Sign in again, or register the redirect URI as a native or web one.",
    ),
}

CONSENT: Final[Mapping[int, tuple[str, str]]] = {
    65001: (
        "Neither the user nor an administrator has consented to the requested permissions.",
        "Sign in with Browser and consent, or let an administrator grant them under API permissions.",
    ),
    65004: (
        "The user declined to consent.",
        "Sign in again and accept, or ask for fewer scopes.",
    ),
    65005: (
        "The application asks for a resource that its registration does not list.",
        "Add the permission under API permissions and have it granted.",
    ),
    90008: (
        "Nobody has consented to this application reading the profile of who signs in.",
        "Add Microsoft Graph's delegated permission User.Read and consent to it.",
    ),
    90094: (
        "Only an administrator may consent to these permissions.",
        "Have an administrator grant them under API permissions.",
    ),
    90095: (
        "An administrator has to approve this application first.",
        "Send the request for approval that the sign-in page offers, then sign in again.",
    ),
}

ACCOUNT: Final[Mapping[int, tuple[str, str]]] = {
    50014: (
        "The guest has not accepted the invitation to this tenant.",
        "Accept the invitation, or sign in to the tenant the account belongs to.",
    ),
    50020: (
        "The account belongs to another tenant or provider and is no guest in this one.",
        "Invite it as a guest, sign in with another account, or correct tenant_id=.",
    ),
    50034: (
        "There is no such user in this tenant.",
        "Check the spelling of the user name, and tenant_id=.",
    ),
    50053: (
        "The account is locked after too many failed sign-ins, or the address it comes from is blocked.",
        "Wait some minutes before trying again; the sign-in log says which of the two it is.",
    ),
    50055: (
        "The user's password has expired.",
        "Change it, for instance by signing in with Browser.",
    ),
    50056: (
        "The directory holds no password for this user, or an empty one was sent.",
        "Enter the password again; a federated or passwordless user signs in with Browser.",
    ),
    50057: (
        "The account is disabled.",
        "Have an administrator enable it, or sign in with another one.",
    ),
    50126: (
        "The user name or the password is wrong.",
        "Correct them; a federated user cannot sign in with UsernamePassword, so use Browser.",
    ),
    50144: (
        "The user's on-premises Active Directory password has expired.",
        "Change it there, or with self-service password reset.",
    ),
    51004: (
        "The user account is not in this directory.",
        "Check tenant_id=, or add the user as a guest.",
    ),
    90072: (
        "The external account does not exist in the tenant signed in to.",
        "Invite it as a guest, or sign in with another account.",
    ),
    90120: (
        "This device sign-in was already approved or declined.",
        "Start the sign-in again to get a new code.",
    ),
}

ADMIN: Final[Mapping[int, tuple[str, str]]] = {
    50105: (
        "The user or application is not assigned to the application signed in to.",
        "Have an administrator assign it under Enterprise applications, Users and groups.",
    ),
    53000: (
        "Conditional access requires a compliant device, and this one is not.",
        "Enrol the device with the tenant's management, or sign in on one that is compliant.",
    ),
    53001: (
        "Conditional access requires a device that is joined to the domain.",
        "Sign in on such a device, or have an administrator change the policy.",
    ),
    53002: (
        "Conditional access accepts only approved applications, and this is not one of them.",
        "Have an administrator exclude the application from the policy.",
    ),
    53003: (
        "A conditional access policy blocks this sign-in.",
        "Have an administrator look up the policy in the sign-in log, by the correlation id.",
    ),
    53011: (
        "The user is blocked because of risk in the home tenant.",
        "Have an administrator of the home tenant clear the risk.",
    ),
    500021: (
        "A tenant restriction on this network does not allow this tenant.",
        "Have the network's administrator add the tenant, or use another network.",
    ),
    500212: (
        "The user's own tenant does not allow access to this tenant.",
        "Have its administrator allow it under cross-tenant access, outbound.",
    ),
    500213: (
        "This tenant does not let users of the other tenant in.",
        "Have its administrator allow it under cross-tenant access, inbound.",
    ),
    501051: (
        "The resource demands an assigned role, and this application has none.",
        "Have an administrator grant the application an app role of the resource.",
    ),
    530032: (
        "A security policy of the tenant blocks this request.",
        "Have an administrator check the policy in the sign-in log.",
    ),
    530034: (
        "The delegated administrator is blocked because of risk in the home tenant.",
        "Have the home tenant clear the risk of the account.",
    ),
    530035: (
        "Security defaults block this sign-in as legacy or unsafe.",
        "Sign in with Browser or DeviceCode instead of a password.",
    ),
    7000112: (
        "The application is disabled in this tenant.",
        "Have an administrator enable sign-in under Enterprise applications, Properties.",
    ),
    7000114: (
        "This application may not act on behalf of users.",
        "Use another application registration for OnBehalfOf.",
    ),
}
