"""The home account id from MSAL's result: the same text for the same user, and for nobody else."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.sign_in.user import identify_user

GUIDS = st.uuids().map(str)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def client_info(user: str, tenant: str) -> str:
    text = json.dumps({"uid": user, "utid": tenant}).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@given(GUIDS, GUIDS, GUIDS, GUIDS)
def test_a_guest_is_the_same_user_in_every_tenant(user: str, home: str, guest: str, tenant: str) -> None:
    """The id token of another tenant names another object, and the account's home stays what it is."""
    info = client_info(user, home)
    at_home = {"client_info": info, "id_token_claims": {"oid": user, "tid": home}}
    elsewhere = {"client_info": info, "id_token_claims": {"oid": guest, "tid": tenant}}

    assert identify_user(at_home) == identify_user(elsewhere)
    assert identify_user({"id_token_claims": at_home["id_token_claims"]}) == identify_user(at_home)


@given(st.tuples(GUIDS, GUIDS), st.tuples(GUIDS, GUIDS), st.sampled_from(["client_info", "oid", "sub"]))
def test_two_users_are_never_the_same(one: tuple[str, str], other: tuple[str, str], claim: str) -> None:
    """Whichever claims identify them, users with different ids or tenants have different texts."""

    def result(user: str, tenant: str) -> dict[str, Any]:
        if claim == "client_info":
            return {"client_info": client_info(user, tenant)}
        return {"id_token_claims": {claim: user, "tid" if claim == "oid" else "iss": tenant}}

    assert identify_user(result(*one)) is not None
    assert (identify_user(result(*one)) == identify_user(result(*other))) is (one == other)


@given(
    st.dictionaries(st.sampled_from(["client_info", "id_token_claims", "access_token"]), JSON)
    | st.fixed_dictionaries(
        {"client_info": JSON.map(lambda value: base64.b64encode(json.dumps(value).encode()).decode())}
    )
)
def test_strange_results_do_no_harm(result: dict[str, Any]) -> None:
    """Whatever a token service returns, there is an id or none."""
    assert identify_user(result) is None or identify_user(result)
