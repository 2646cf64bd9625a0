"""
The errors of Entra ID for users, and for apps that act for one.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("USER_ERRORS",)

USER_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    16000: (
        "interaction_required",
        "Either multiple user identities are available for the current request or the account is not supported.",
    ),
    28000: (
        "invalid_request",
        (
            "Provided value for the input parameter scope is not valid because it contains more than one resource. "
            "Scope {scope} is not valid."
        ),
    ),
    50011: (
        "invalid_request",
        (
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured "
            "for the application '{client_id}'."
        ),
    ),
    50013: ("invalid_grant", "Assertion failed signature validation. [Reason - {reason}]"),
    50034: (
        "invalid_grant",
        "The user account {user} does not exist in the directory. To sign into this application, it must be added.",
    ),
    50053: (
        "invalid_grant",
        "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    ),
    50055: ("invalid_grant", "The password is expired."),
    50057: ("invalid_grant", "The user account is disabled."),
    50058: (
        "login_required",
        (
            "A silent sign-in request was sent but no user is signed in. The cookies used to represent the user's "
            "session were not sent in the request to Azure AD."
        ),
    ),
    50076: (
        "interaction_required",
        (
            "Due to a configuration change made by your administrator, or because you moved to a new location, you "
            "must use multi-factor authentication to access the resource."
        ),
    ),
    50079: (
        "interaction_required",
        (
            "Due to a configuration change made by your administrator, or because you moved to a new location, you "
            "must enroll in multi-factor authentication to access the resource."
        ),
    ),
    50089: ("invalid_grant", "Authentication failed due to flow token expired."),
    50126: ("invalid_grant", "Error validating credentials due to invalid username or password."),
    50147: ("invalid_request", "Invalid size of Code_Challenge parameter."),
    50173: (
        "invalid_grant",
        (
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
            "changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before "
            "which tokens are not valid) for this user is '{valid_from}'."
        ),
    ),
    50194: (
        "invalid_request",
        (
            "Application '{client_id}' is not configured as a multi-tenant application. Usage of the /common endpoint "
            "is not supported for such apps. Use a tenant-specific endpoint or configure the application to be "
            "multi-tenant."
        ),
    ),
    53003: ("invalid_grant", "Access has been blocked by Conditional Access policies."),
    54005: (
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code.",
    ),
    65001: (
        "invalid_grant",
        (
            "The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. "
            "Send an interactive authorization request for this user and resource."
        ),
    ),
    65004: ("access_denied", "User declined to consent to access the app."),
    70000: ("invalid_grant", "Provided grant is invalid or malformed. {reason}"),
    70005: ("unsupported_response_type", "The response_type '{response_type}' is not supported."),
    70007: (
        "invalid_request",
        "'{response_mode}' is not a supported value of 'response_mode' when requesting a token.",
    ),
    70008: ("invalid_grant", "The provided authorization code or refresh token has expired due to inactivity."),
    70016: ("authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. {advice}"),
    70018: (
        "bad_verification_code",
        "Invalid verification code due to user typing in wrong user code for device code flow.",
    ),
    70019: ("expired_token", "Verification code expired."),
    70021: (
        "invalid_client",
        (
            "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. "
            "Assertion Subject: '{subject}'. Assertion Audience: '{audience}'."
        ),
    ),
    90023: ("invalid_request", "Unsupported 'prompt' value."),
    90061: ("invalid_client", "Request to External OIDC endpoint failed. {reason}"),
    90094: (
        "access_denied",
        "Admin consent is required for the permissions requested by this application: {permissions}.",
    ),
    90119: ("invalid_request", "The user code is null or empty."),
    90120: ("invalid_request", "The request was already authorized or declined."),
    165000: (
        "invalid_request",
        "The request tokens do not match the user context. Do not copy the user context values to another browser.",
    ),
    500112: (
        "invalid_grant",
        (
            "The reply address '{redirect_uri}' does not match the reply address provided when requesting "
            "Authorization code."
        ),
    ),
    500131: (
        "invalid_grant",
        (
            "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion "
            "was '{audience}' and the expected audience is '{client_id}' or one of the Application Uris of this "
            "application."
        ),
    ),
    500133: (
        "invalid_grant",
        (
            "Assertion is not within its valid time range. Ensure that the access token is not expired before using it "
            "for user assertion, or request a new token."
        ),
    ),
    501481: (
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    501491: ("invalid_request", "The code_challenge or code_challenge_method parameter is invalid. {reason}"),
    650053: (
        "invalid_scope",
        (
            "The application '{client_id}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'. "
            "Contact the app vendor."
        ),
    ),
    650057: (
        "invalid_resource",
        (
            "Invalid resource. The client has requested access to a resource which is not listed in the requested "
            "permissions in the client's application registration. Client app ID: {client_id}. "
            "Resource value from request: {resource}."
        ),
    ),
    700051: ("unsupported_response_type", "response_type 'token' is not enabled for the application."),
    700054: ("unsupported_response_type", "response_type 'id_token' is not enabled for the application."),
    700082: (
        "invalid_grant",
        (
            "The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for "
            "90.00:00:00."
        ),
    ),
    700084: (
        "invalid_grant",
        (
            "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of "
            "1.00:00:00, which can't be extended. It was issued on {issued}."
        ),
    ),
    700211: (
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer '{issuer}'.",
    ),
    700212: (
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{audience}'.",
    ),
    700213: (
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{subject}'.",
    ),
    700229: (
        "invalid_client",
        "Only app tokens can be used as Federated Identity Credentials for the Microsoft Entra issuer.",
    ),
    7000114: (
        "invalid_grant",
        "Application '{client_id}' is not allowed to make application on-behalf-of calls.",
    ),
    9002325: (
        "invalid_request",
        "Proof Key for Code Exchange is required for cross-origin authorization code redemption.",
    ),
    9002327: (
        "invalid_request",
        "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.",
    ),
    9002332: (
        "unauthorized_client",
        (
            "Application '{client_id}' is configured for use by Azure Active Directory users only. Please do not use "
            "the /consumers endpoint to serve this request."
        ),
    ),
}
"""Code → OAuth error and text."""
