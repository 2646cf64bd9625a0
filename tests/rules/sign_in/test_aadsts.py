"""Entra ID's errors: the tables of codes, and the exception for each response."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import AuthenticationError, ConsentRequiredError, InteractionRequiredError
from entra_async.rules.sign_in import aadsts_application, aadsts_user
from entra_async.rules.sign_in.aadsts import ErrorKind, error_for, explain, first_line, is_transient, parse_codes

TABLES = {
    ErrorKind.CONFIGURATION: aadsts_application.CONFIGURATION,
    ErrorKind.CREDENTIAL: aadsts_application.CREDENTIAL,
    ErrorKind.BUG: aadsts_application.BUG,
    ErrorKind.TRANSIENT: aadsts_application.TRANSIENT,
    ErrorKind.PENDING: aadsts_application.PENDING,
    ErrorKind.INTERACTION: aadsts_user.INTERACTION,
    ErrorKind.CONSENT: aadsts_user.CONSENT,
    ErrorKind.ACCOUNT: aadsts_user.ACCOUNT,
    ErrorKind.ADMIN: aadsts_user.ADMIN,
}
TRANSIENT_CODES = (90012, 90024, 90033, 90006, 50033, 50087, 90090, 70012, 90055)
LOOP = 50196
TRACE, CORRELATION = "3f1b2c4d-0000-4a4a-8b8b-0123456789ab", "7e1b2c4d-1111-4a4a-8b8b-0123456789ab"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = (
    "error",
    "suberror",
    "error_description",
    "error_codes",
    "claims",
    "correlation_id",
    "trace_id",
)
BODIES = st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=8), JSON, max_size=9)
STATUSES = st.none() | st.integers(100, 599)
# What Entra ID may write of its own: any text that is none of the things taken out of it.
SENTENCES = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=200).filter(
    lambda text: not any(word in text for word in ("AADSTS", "ID:", "Timestamp:"))
)


def error_response(code: int, error: str = "invalid_grant", text: str = "Some text.", **more: Any) -> dict[str, Any]:
    """Return a body as the token endpoint writes it."""
    tail = f"\r\nTrace ID: {TRACE}\r\nCorrelation ID: {CORRELATION}\r\nTimestamp: 2026-01-31 12:00:00Z"
    return {
        "error": error,
        "error_description": f"AADSTS{code}: {text}{tail}",
        "error_codes": [code],
        "timestamp": "2026-01-31 12:00:00Z",
        "trace_id": TRACE,
        "correlation_id": CORRELATION,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        **more,
    }


def documented_codes() -> set[int]:
    """Return the codes that users of the SDK are known to meet."""
    listed = """
        16000 50001 500011 50011 50012 50013 500133 50020 50027 50034 50049 50050 50053 50055 50056 50057 50058 50059
        50128 50072 50074 50076 50078 50079 50085 50089 50097 50105 50126 50131 50158 50132 50133 50173 50140 50147
        501481 501491 50194 50196 51004 53000 53001 53002 53003 530032 530034 530035 54005 65001 65004 65005 65002
        650052 650056 650057 67003 70000 70008 700082 700084 70043 70001 700016 70002 70003 70004 70005 70007 700005
        70011 700022 700023 70012 70016 70018 70019 700025 700027 700030 700054 7000112 7000114 7000215 7000222 7000218
        700229 90002 90004 90013 90014 900144 9002313 9001023 90012 90024 90033 90006 50033 50087 90090 90038 90055
        900561 901002 90094 90072 100007 70021 700211 700212 700213 500131 501051 700003 50134 90119 90120 9002326
        9002327 70020 5002730 50048 700021 700024 1002012
    """
    return {int(code) for code in listed.split()}


def test_tables_hold_every_known_code_once() -> None:
    """Each code that users meet can be explained, and no code is in two tables."""
    codes = [code for table in TABLES.values() for code in table]
    assert documented_codes() <= set(codes)
    assert len(codes) == len(set(codes))
    assert all(explain(code) is not None for code in codes)
    assert explain(0) is None
    assert explain(99_999_999) is None


def test_every_explanation_is_its_own() -> None:
    """A cause is one short sentence that no other code shares; a remedy is one short sentence."""
    causes = [cause for table in TABLES.values() for cause, _ in table.values()]
    remedies = [remedy for table in TABLES.values() for _, remedy in table.values()]
    assert len(causes) == len(set(causes))
    for sentence in (*causes, *remedies):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert 8 < len(sentence) < 125


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (error_response(7000215, "invalid_client"), AuthenticationError),
        (error_response(50126), AuthenticationError),
        (error_response(50076, "interaction_required", suberror="basic_action"), InteractionRequiredError),
        (error_response(50173), InteractionRequiredError),
        (error_response(65001), ConsentRequiredError),
        (error_response(65001, "interaction_required"), ConsentRequiredError),
        (error_response(99_999, suberror="consent_required"), ConsentRequiredError),
        (error_response(99_999, "interaction_required"), InteractionRequiredError),
        (error_response(99_999, "invalid_grant"), InteractionRequiredError),
        (error_response(99_999, "invalid_client"), AuthenticationError),
        (error_response(99_999, "no_such_error", claims="{}"), InteractionRequiredError),
        (error_response(50055, suberror="user_password_expired"), InteractionRequiredError),
        (error_response(50055, "interaction_required"), InteractionRequiredError),
        (error_response(53003, suberror="message_only", claims="{}"), AuthenticationError),
        (error_response(90033, "temporarily_unavailable"), AuthenticationError),
        ({"error": "login_required"}, InteractionRequiredError),
        ({"error": "consent_required"}, ConsentRequiredError),
        ({"error": "authorization_declined"}, AuthenticationError),
        ({"error": "expired_token"}, InteractionRequiredError),
        ({}, AuthenticationError),
    ],
)
def test_class_says_who_must_act(body: dict[str, Any], cls: type[AuthenticationError]) -> None:
    """Interaction, consent or neither: the class follows the code, and error and suberror where it is unknown."""
    assert type(error_for(status=400, body=body)) is cls


def test_error_carries_all_that_helps() -> None:
    """Cause, Entra ID's own words, the remedy and what support asks for are in the error, which survives a pickle."""
    text = "Invalid client secret provided. Ensure it is the value, not the ID, for app 'a-b-c'."
    body = error_response(7000215, "invalid_client", text, suberror="bad_token", claims='{"access_token":{}}')
    error = error_for(status=401, body=body, attempts=2)
    assert error.args == (f'AADSTS7000215: The client secret is wrong. (Entra ID said: "{text}")',)
    assert str(error).endswith(
        "Use the secret's value, not its id, from Certificates & secrets; a new secret may take a minute to be known."
    )
    assert vars(error) == {
        "hint": str(error).removeprefix(f"{error.args[0]} "),
        "code": "AADSTS7000215",
        "error": "invalid_client",
        "suberror": "bad_token",
        "status": 401,
        "claims": '{"access_token":{}}',
        "correlation_id": CORRELATION,
        "trace_id": TRACE,
        "attempts": 2,
    }
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


def test_ids_are_found_in_the_text() -> None:
    """A redirect to the browser has no members for the ids; they are read from its description."""
    body = {name: error_response(65004, "access_denied")[name] for name in ("error", "error_description")}
    error = error_for(status=None, body=body)
    assert (error.code, error.trace_id, error.correlation_id) == ("AADSTS65004", TRACE, CORRELATION)


def test_unknown_code_leads_to_microsofts_page() -> None:
    """A code of next year is passed on, with the address that explains it."""
    error = error_for(status=400, body=error_response(7999999, "invalid_request"))
    assert error.code == "AADSTS7999999"
    assert "https://login.microsoftonline.com/error?code=7999999" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, {}, "busy or failed. (HTTP status 503)"),
        (429, {}, "busy or failed. (HTTP status 429)"),
        (404, {}, "gave no token. (HTTP status 404)"),
        (400, {"error": "slow_down"}, "slow_down: The sign-in is not finished yet."),
        (400, {"error": "new_error"}, "new_error: The token service gave no token."),
        (None, {}, "The token service gave no token."),
    ],
)
def test_responses_without_details(status: int | None, body: dict[str, Any], words: str) -> None:
    """Without a code or a text there is still a sentence, a remedy and the status."""
    error = error_for(status=status, body=body)
    assert words in error.args[0]
    assert error.hint
    assert error.code is None


def test_message_repeats_no_token_and_starts_no_line() -> None:
    """What looks like a token is left out, control characters are blanks, and an endless text is cut."""
    token = "eyJ0eXAiOiJKV1Qi." * 9
    text = f"Bad\x1b[31m assertion:\n {token} {'x ' * 9000}"
    error = error_for(status=400, body=error_response(50027, text=text, error=f"{token}\nx"))
    message = error.args[0]
    assert "eyJ0" not in message
    assert message.isprintable()
    assert len(message) < 1000
    assert "eyJ0" not in error_for(status=400, body={"error": f"{token}\nx"}).args[0]


@pytest.mark.parametrize("code", TRANSIENT_CODES)
def test_transient_codes(code: int) -> None:
    """The codes of transient errors are transient, whatever the status and the OAuth error."""
    assert is_transient(400, error_response(code, "invalid_request"))
    assert is_transient(None, {"error_description": f"AADSTS{code}: text"})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_statuses(status: int) -> None:
    """A 5xx, 408 or 429 is transient, unless the code says that there were too many requests for one token."""
    assert is_transient(status, {})
    assert is_transient(status, error_response(7000215, "invalid_client"))
    assert not is_transient(status, error_response(LOOP, "temporarily_unavailable"))
    assert not is_transient(status, {"error_codes": [90033, LOOP]})


@pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error"])
def test_transient_errors(error: str) -> None:
    """The OAuth errors for a transient error are transient, also at 400 and in a redirect."""
    for status in (400, None):
        assert is_transient(status, {"error": error})


def test_everything_else_is_final() -> None:
    """No other code, error or status is transient."""
    for kind, table in TABLES.items():
        for code in table:
            assert is_transient(400, error_response(code)) is (kind is ErrorKind.TRANSIENT)
    for status in (200, 302, 400, 401, 403, 404, 600):
        assert not is_transient(status, {"error": "invalid_client"})


@pytest.mark.parametrize(
    ("text", "listed", "codes"),
    [
        ("AADSTS50126: Wrong.", None, (50126,)),
        ("AADSTS50126: Wrong.", [], (50126,)),
        ("AADSTS50126: Wrong.", [7000215, 50012, 7000215], (7000215, 50012)),
        ("AADSTS70002: Bad. AADSTS50012: Worse. AADSTS70002", None, (70002, 50012)),
        ("AADSTS50126: Wrong.", ["x", None, True, -5, 10**9999], (50126,)),
        (f"AADSTS{'9' * 5000}", None, ()),
        ("AADSTS\u0663\u0664\u0665\u0666\u0667", None, ()),
        ("no code", None, ()),
    ],
)
def test_parse_codes(text: str, listed: Any, codes: tuple[int, ...]) -> None:
    """The listed codes count; without a usable one those in the text do; each is given once."""
    assert parse_codes(text, listed) == codes


@given(st.text(), st.none() | st.lists(st.integers() | st.text(max_size=3)))
def test_parse_codes_takes_any_text(text: str, listed: Any) -> None:
    """No text and no list raises, and every result is a possible code."""
    assert all(0 < code < 10**9 for code in parse_codes(text, listed))


@given(st.lists(st.integers(10_000, 9_999_999), unique=True, min_size=1, max_size=4), SENTENCES)
def test_parse_codes_finds_what_was_written(codes: list[int], sentence: str) -> None:
    """Codes come back from the list and from the text alike."""
    text = " ".join(f"AADSTS{code}: {sentence}" for code in codes)
    assert parse_codes(text, None) == parse_codes("", codes) == tuple(codes)


@given(SENTENCES, st.sampled_from(["\r\n", "\n", " "]), st.integers(10_000, 9_999_999))
def test_first_line_is_the_sentence(sentence: str, joint: str, code: int) -> None:
    """Codes, ids and time are gone, whether CRLF or blanks join them; the sentence is whole."""
    noise = [f"Trace ID: {TRACE}", f"Correlation ID: {CORRELATION}", "Timestamp: 2026-01-31 12:00:00Z"]
    assert first_line(joint.join([f"AADSTS{code}: {sentence}", *noise])) == " ".join(sentence.split())


@given(st.text())
def test_first_line_is_one_printable_line(text: str) -> None:
    """Any text becomes one line without control characters."""
    assert first_line(text).isprintable()


@given(BODIES, STATUSES, st.integers(1, 9))
def test_any_json_makes_an_error(body: dict[str, Any], status: int | None, attempts: int) -> None:
    """Members of any type are survived; what is kept of them is text, and the error always has words and a remedy."""
    error = error_for(status=status, body=body, attempts=attempts)
    assert error.args[0]
    assert error.hint
    assert error.args[0].isprintable()
    assert (error.status, error.attempts) == (status, attempts)
    for name in ("error", "suberror", "claims", "correlation_id", "trace_id"):
        assert isinstance(getattr(error, name), str | None)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert is_transient(status, body) in {True, False}


@given(st.binary(max_size=60) | st.just(b'{"error_codes": [1e999, 1E3], "error": ["x"]}'))
def test_json_of_any_bytes_makes_an_error(raw: bytes) -> None:
    """Whatever object a strange server sends, the error is an AuthenticationError and nothing else."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {"error_description": body}
    assert isinstance(error_for(status=400, body=body), AuthenticationError)
