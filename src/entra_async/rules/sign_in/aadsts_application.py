"""
The AADSTS codes that are about the application: its registration, its credential, its requests, the service itself.

Each code has a cause and a remedy. :mod:`entra_async.rules.sign_in.aadsts` reads the tables and documents the kinds.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("BUG", "CONFIGURATION", "CREDENTIAL", "PENDING", "TRANSIENT")

CONFIGURATION: Final[Mapping[int, tuple[str, str]]] = {
    50001: (
        "The resource is disabled or does not exist.",
        "Check the resource's URI, letter by letter; a slash at the end counts.",
    ),
    500011: (
        "The resource has no service principal in this tenant.",
        "Check the resource's URI and tenant_id=; the resource may have to be installed in the tenant first.",
    ),
    50011: (
        "The redirect URI is not registered for this application.",
        "Add it under Authentication of the app registration: http://localhost for Browser.",
    ),
    50049: ("The sign-in service does not know this instance.", "Check authority= and cloud=."),
    50050: ("The request for the service's metadata is malformed.", "Check authority= and cloud=."),
    50059: (
        "The request does not say which tenant is meant.",
        "Give tenant_id= as a GUID or a domain of the tenant.",
    ),
    50128: (
        "The domain is not one of a tenant.",
        "Give tenant_id= as a GUID or a verified domain, and check cloud=.",
    ),
    50194: (
        "The application is registered for one tenant only, but was used for any.",
        "Give that tenant as tenant_id= instead of 'common', or make the registration multitenant.",
    ),
    65002: (
        "An application of Microsoft's own may not ask for this resource.",
        "Register an application of your own and give its client_id=.",
    ),
    650052: (
        "The organisation has not subscribed to the requested service, or not enabled it.",
        "Have an administrator get or enable the service, then consent again.",
    ),
    650056: (
        "The application is misconfigured: it lists no permission for this resource, or has no consent.",
        "Add the permission under API permissions, have it granted, and check client_id=.",
    ),
    650057: (
        "The registration does not list the requested resource.",
        "Add a permission of that resource under API permissions.",
    ),
    67003: (
        "The identity that acts is not one of a service.",
        "Sign in as an application, with a service principal of this tenant.",
    ),
    70001: (
        "The application is disabled, or is not in this tenant.",
        "Check client_id= and tenant_id=; an administrator may have to consent or enable it.",
    ),
    700016: (
        "The application is not in this tenant.",
        "Check client_id= and tenant_id=; in a tenant of others, an administrator has to consent first.",
    ),
    700054: (
        "The registration does not allow ID tokens from the authorization endpoint.",
        "Ask for response_type=code, or turn on ID tokens under Authentication.",
    ),
    700229: (
        "The assertion is a user's token; only an application's may serve as federated credential.",
        "Get the assertion as an application: from a managed identity or with client credentials.",
    ),
    7000218: (
        "The application has to prove itself, and sent neither secret nor assertion.",
        "Use a provider with a credential, or allow public client flows under Authentication.",
    ),
    7000229: (
        "The application has no service principal in this tenant.",
        "Have an administrator of the tenant add or consent to it, and check tenant_id=.",
    ),
    9001023: (
        "This way to sign in needs one tenant, not 'common' or 'consumers'.",
        "Give the tenant's GUID or domain as tenant_id=.",
    ),
    9002327: (
        "The redirect URI is registered for a single-page app, which only a browser may use.",
        "Register it under 'Mobile and desktop applications' or 'Web' instead.",
    ),
    90002: (
        "There is no such tenant in this cloud.",
        "Check tenant_id=, and cloud= when the tenant is in a national cloud.",
    ),
    90038: (
        "The tenant lives in another national cloud.",
        "Open the Session with that cloud=.",
    ),
    100007: (
        "The regional endpoint serves managed identities and Microsoft's own applications only.",
        "Use the global sign-in service: give no region.",
    ),
}

CREDENTIAL: Final[Mapping[int, tuple[str, str]]] = {
    50012: (
        "The application could not prove itself: its certificate, chain or signature is not accepted.",
        "Upload the public certificate of the key in use to the app registration.",
    ),
    50013: (
        "The user's token given as assertion is not acceptable.",
        "Pass on the access token as it came: issued for this application, for a user, not expired.",
    ),
    500131: (
        "The user's token given as assertion was issued for another application.",
        "Let the caller ask for a scope of this application: its aud must be this client_id=.",
    ),
    500133: (
        "The user's token given as assertion has expired.",
        "Answer 401 to the caller, so that a fresh token is sent.",
    ),
    50027: (
        "The JSON Web Token sent as proof is malformed or incomplete.",
        "Send it whole and signed, with the issuer, subject, audience and times that are expected.",
    ),
    5002730: (
        "The JSON Web Token sent as proof is not valid.",
        "Check its header and its algorithm; the text after the code says what is missing.",
    ),
    50048: (
        "The client assertion's subject is not its issuer.",
        "Set both iss and sub to the client_id=.",
    ),
    70002: (
        "The client secret or certificate could not be validated.",
        "Check that the secret belongs to this client_id= and has not been replaced.",
    ),
    70021: (
        "No federated credential of the application matches the assertion.",
        "Compare its issuer, subject and audience with those under Certificates & secrets, Federated credentials.",
    ),
    700021: (
        "The client assertion names another application than client_id=.",
        "Set iss and sub of the assertion to the same client_id=.",
    ),
    700024: (
        "The client assertion is not valid at this time.",
        "Set this machine's clock right, and sign a new assertion for every token.",
    ),
    700027: (
        "The signature of the client assertion does not match a valid certificate of the application.",
        "Upload the public certificate of the key in use to the app registration, and check that it has not expired.",
    ),
    700030: (
        "The certificate's subject name is not one the application trusts.",
        "Use a certificate with a trusted subject, or upload this one to the app registration.",
    ),
    700211: (
        "No federated credential of the application has the assertion's issuer.",
        "Set the issuer of the federated credential to the assertion's iss, to the letter.",
    ),
    700212: (
        "No federated credential of the application has the assertion's audience.",
        "Ask the identity provider for the audience api://AzureADTokenExchange, or the one of the national cloud.",
    ),
    700213: (
        "No federated credential of the application has the assertion's subject.",
        "Set the subject of the federated credential to the assertion's sub, to the letter.",
    ),
    7000215: (
        "The client secret is wrong.",
        "Use the secret's value, not its id, from Certificates & secrets; a new secret may take a minute to be known.",
    ),
    7000222: (
        "The client secret has expired.",
        "Make a new one under Certificates & secrets, or use a certificate or a federated credential.",
    ),
}

BUG: Final[Mapping[int, tuple[str, str]]] = {
    50134: (
        "The device sign-in was approved in another data centre than it was begun in.",
        "Start it again with the tenant's own GUID or domain as tenant_id=.",
    ),
    50147: ("The PKCE challenge has a wrong size.", "Send 43 to 128 characters as code_challenge."),
    501481: (
        "The PKCE verifier does not match the challenge.",
        "Redeem each code with the verifier of the sign-in it came from.",
    ),
    501491: (
        "The PKCE challenge is not valid.",
        "Send the base64url of the verifier's SHA-256, without padding.",
    ),
    50196: (
        "The same token was requested too often in a short time.",
        "Stop asking and wait some minutes; share one Session, so that one token serves all tasks.",
    ),
    54005: (
        "The authorization code was already used.",
        "Redeem a code once; sign in again for a new one.",
    ),
    70003: ("The token service does not offer this grant type.", "Check grant_type."),
    70004: (
        "The redirect URI is not valid.",
        "Send the same registered redirect URI when signing in and when redeeming the code.",
    ),
    70005: (
        "The response type is not offered, or not enabled for this application.",
        "Ask for response_type=code.",
    ),
    70007: (
        "The response mode is not offered for this response type.",
        "Ask for response_mode=form_post or query.",
    ),
    70011: (
        "A scope is not valid.",
        "Give scopes of one resource by their full names, or {resource}/.default alone.",
    ),
    70018: (
        "The device code is unknown, or a wrong code was entered.",
        "Start the sign-in again and enter the code as it is shown.",
    ),
    700005: (
        "The code was issued for another tenant.",
        "Redeem it at the authority it was requested from.",
    ),
    700022: (
        "The scopes name more than one resource.",
        "Ask for one token per resource.",
    ),
    700023: (
        "The scopes name no resource, or the client assertion's audience is another service.",
        "Give {resource}/.default as scope; set the assertion's aud to the token endpoint used.",
    ),
    700025: (
        "A public client sent a secret or an assertion.",
        "Leave the credential out, or turn off public client flows under Authentication.",
    ),
    90004: ("The request is not formatted as it should be.", "Check the values given for unusual characters."),
    90009: (
        "The application asks for a token for itself by its URI.",
        "Ask with its GUID: {client_id}/.default.",
    ),
    90013: (
        "A value in the request is not valid.",
        "Check the user name, the scopes and the tenant for typing errors.",
    ),
    90014: ("A field that is required is missing.", "Check that no credential or value given is empty."),
    900144: (
        "A parameter that is required is missing; the text names it.",
        "Give it, and check that it is not an empty text.",
    ),
    900561: (
        "The endpoint was called with another HTTP method than POST.",
        "Look for a proxy that follows redirects and changes the method.",
    ),
    901002: (
        "The v2.0 endpoint does not know the parameter 'resource'.",
        "Give {resource}/.default as scope instead.",
    ),
    90119: ("The code that the user entered is empty.", "Enter the code as it is shown."),
    1002012: (
        "An application asks for all its permissions at once, and this scope does not.",
        "Give {resource}/.default as the only scope.",
    ),
    9002313: (
        "The request is malformed.",
        "Check each value given for missing parts, such as a token cut short by copying.",
    ),
    9002326: (
        "A request with an Origin header is only for a single-page app.",
        "Remove the Origin header, or whatever adds it on the way.",
    ),
}

TRANSIENT: Final[Mapping[int, tuple[str, str]]] = {
    50033: ("The sign-in service has a passing fault.", "Try again shortly."),
    50087: ("Strong authentication has a passing fault.", "Try again shortly."),
    70012: (
        "The service for personal accounts failed.",
        "Try again shortly; Microsoft's support takes the correlation id when it stays.",
    ),
    90006: ("A service that sign-in depends on is not available.", "Try again shortly."),
    90012: ("The sign-in service took too long.", "Try again shortly."),
    90024: ("The sign-in service ran out of its budget for this request.", "Try again shortly."),
    90033: ("The directory behind the sign-in service is not available.", "Try again shortly."),
    90055: (
        "The tenant is throttled: too many requests reach it.",
        "Wait before trying again, and share one Session, so that fewer tokens are requested.",
    ),
    90090: ("A service that sign-in depends on is not available for the moment.", "Try again shortly."),
}

PENDING: Final[Mapping[int, tuple[str, str]]] = {
    70016: (
        "Nobody has entered the device code yet.",
        "Enter it on the page shown, and keep polling at the interval given.",
    ),
}
