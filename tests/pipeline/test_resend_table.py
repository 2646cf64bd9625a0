"""Which request is sent how often, and how long is waited: method by method, response by response."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from entra_async.errors import EntraError, ThrottledError
from tests.support.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from entra_async.testing import Emulator

PATH = "/v1.0/users/ada"
NOON = 1_800_000_000
# How a service says how long to wait, and how many seconds that is; ``None`` where it says nothing that can be read.
FORMS: dict[str, tuple[dict[str, str], float | None]] = {
    "nothing": ({}, None),
    "seconds": ({"Retry-After": "7"}, 7),
    "a fraction": ({"Retry-After": "2.128"}, 2.128),
    "less than a second": ({"Retry-After": "0.249"}, 0.249),
    "a date": ({"Retry-After": formatdate(NOON + 30, usegmt=True), "Date": formatdate(NOON, usegmt=True)}, 30),
    "a date that has passed": (
        {"Retry-After": formatdate(NOON - 30, usegmt=True), "Date": formatdate(NOON, usegmt=True)},
        0,
    ),
    "milliseconds": ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
    "nonsense": ({"Retry-After": "soon"}, None),
    "three minutes": ({"Retry-After": "180"}, 180),
}
BACKOFF = (0.25, 0.5)  # half a second at the first time, less up to a half by chance
LIMITER_WAIT = (1.0, 1.0)  # what a limiter waits without a Retry-After
SAFE = ("GET", "HEAD", "PUT", "DELETE")
UNSAFE = ("POST", "PATCH")


def expected(status: int, form: str, *, repeatable: bool) -> tuple[int, tuple[float, float]]:
    """Return how often a request with that response is sent, and the least and most that is waited."""
    retry_after_s = FORMS[form][1]
    without_retry_after = LIMITER_WAIT if status == 429 else BACKOFF
    wait = without_retry_after if retry_after_s is None else (retry_after_s, retry_after_s)
    if status in (408, 429) or (status in (503, 504) and retry_after_s is not None):
        return 2, wait  # throttled or unavailable, without acting: whatever the method
    if status in (500, 502, 503, 504) and repeatable:
        return 2, wait
    return 1, (0, 0)


@pytest.mark.parametrize(("method", "idempotent"), [(name, None) for name in (*SAFE, *UNSAFE)] + [("POST", True)])
async def test_each_response(method: str, idempotent: bool | None, emulator: Emulator) -> None:
    """Statuses with every form of Retry-After: as many sends as are safe, and exactly the wait that was requested."""
    repeatable = method in SAFE or idempotent is True
    wrong: list[str] = []
    for status in (400, 404, 408, 409, 429, 500, 501, 502, 503, 504):
        async with emulator.session(clock=(clock := VirtualClock())) as session:
            await session.connect(emulator.client_secret)
            for form, (headers, _) in FORMS.items():
                emulator.faults.clear()
                strike = emulator.faults.add(PATH, status=status, headers=headers)
                then = emulator.faults.add(PATH, status=204, times=None)
                before_s = clock.moved_s
                error: EntraError | None = None
                try:
                    await session.invoke("users/ada", method=method, idempotent=idempotent, raw=True)
                except EntraError as raised:
                    error = raised
                sends, (least_s, most_s) = expected(status, form, repeatable=repeatable)
                seen = strike.hits + then.hits, clock.moved_s - before_s, getattr(error, "attempts", None)
                # A limiter waits from the response on: what has passed since then is not waited again.
                if seen[0] != sends or not least_s - 0.1 <= seen[1] <= most_s + 1e-6 or (error is None) != (sends > 1):
                    wrong.append(f"{status} with {form}: {seen}, not {sends} in {least_s}…{most_s} s; {error}")

    assert not wrong


# The client cannot tell whether the service acted: not even after a reset before the request was read.
LOST: dict[str, dict[str, Any]] = {
    "reset before it was read": {"reset": "before"},
    "reset after it was read": {"reset": "after"},
    "half a response": {"half_body": True},
    "cut in the response": {"cut_response_after": 3},
}
WITH_A_BODY = ("GET", "PUT", "DELETE", "POST", "PATCH")  # in the response, that is: else there is nothing to cut


@pytest.mark.parametrize(("method", "idempotent"), [(name, None) for name in WITH_A_BODY] + [("POST", True)])
@pytest.mark.parametrize("fault", LOST)
async def test_each_lost_response(fault: str, method: str, idempotent: bool | None, emulator: Emulator) -> None:
    """No response arrives: what cannot act twice is sent again after a short wait; what could is not."""
    repeatable = method in SAFE or idempotent is True
    async with emulator.session(clock=(clock := VirtualClock())) as session:
        await session.connect(emulator.client_secret)
        strike = emulator.faults.add(PATH, **LOST[fault])
        then = emulator.faults.add(PATH, status=204, times=None)
        error: EntraError | None = None
        try:
            await session.invoke("users/ada", method=method, idempotent=idempotent, raw=True)
        except EntraError as raised:
            error = raised

    if repeatable:
        assert error is None
        assert (strike.hits, then.hits) == (1, 1)
        assert BACKOFF[0] <= clock.moved_s <= BACKOFF[1]
    else:
        assert (strike.hits, then.hits, clock.moved_s) == (1, 0, 0)
        assert error is not None


@pytest.mark.parametrize("method", [*SAFE, *UNSAFE])
async def test_an_hour_is_an_error_at_once(method: str, emulator: Emulator) -> None:
    """A Retry-After beyond what the call may wait is a ThrottledError that has it, after one send and no wait."""
    async with emulator.session(clock=(clock := VirtualClock())) as session:
        await session.connect(emulator.client_secret)
        strike = emulator.faults.add(PATH, status=429, headers={"Retry-After": "3600"}, times=None)
        with pytest.raises(ThrottledError) as caught:
            await session.invoke("users/ada", method=method)

    assert (strike.hits, clock.moved_s) == (1, 0)
    assert (caught.value.status, caught.value.retry_after_s, caught.value.attempts) == (429, 3600, 1)


@pytest.mark.parametrize("method", [*SAFE, *UNSAFE])
async def test_nothing_is_sent_to_a_closed_port(method: str, emulator: Emulator) -> None:
    """A host that cannot be reached has not seen the request: any method is tried again, up to the policy's limit."""
    async with emulator.session(clock=VirtualClock()) as session:
        nowhere = await session.connect(emulator.client_secret, service_url="https://127.0.0.1:9/v1.0", name="nowhere")
        with pytest.raises(EntraError) as caught:
            await nowhere.invoke("users/ada", method=method)

    assert getattr(caught.value, "attempts", 0) == 6
