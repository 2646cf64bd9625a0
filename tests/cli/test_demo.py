"""The command ``entra-async``: the demo's job, its statistics and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from entra_async.cli.demo import Job, run_on_emulator
from entra_async.cli.demo_view import DemoView

pytestmark = pytest.mark.emulator


class RecordedProgress:
    """Records the progress instead of printing it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)

    def show(self, job: Job) -> None:
        assert job.elapsed_s >= 0


async def test_the_statistics_of_the_job() -> None:
    """Every user and machine once, two token requests, and each throttled request sent again."""
    progress = RecordedProgress()
    job = await run_on_emulator(20_000, progress)

    assert job.items == {"Graph": 20_000, "Endpoint": 500}
    assert job.token_requests == 2
    assert job.audiences == ["https://graph.microsoft.com", "https://api.securitycenter.microsoft.com"]
    # The limit is 20 pages a second: a machine that is slower than that never meets it.
    assert job.throttled > 0 or job.elapsed_s > 1
    assert job.calls == 40 + 1 + job.throttled
    assert not job.failures
    assert len(progress.lines) == 3


def test_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the figures and the failures."""
    job = Job(calls=42, token_requests=2, throttled=1, elapsed_s=2.0, longest_stall_s=0.0123)
    job.items.update(Graph=20_000)
    job.failures["Endpoint"] = "AADSTS500011: [no such resource]"
    DemoView().summarize(job)
    printed = capsys.readouterr().out

    for text in ("20,000", "42", "10,000 items/s", "12.3 ms", "(failed)", "AADSTS500011: [no such resource]"):
        assert text in printed


@pytest.mark.timeout(60)  # a program of its own, which a busy machine takes long to start
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["demo", "--users", "10"], 0, "Token requests"),
        (["demo", "--tenant-id", "contoso.com"], 2, "needs --client-id, --client-secret too"),
        (["demo", "--tenant-id", "contoso.com", "--client-id", "x", "--client-secret", "hunter2"], 1, "no GUID"),
        (["demo", "--users", "0"], 2, "users"),
        (["--version"], 0, "0."),
    ],
)
def test_the_command(arguments: list[str], code: int, text: str) -> None:
    """The installed command ends with the right code, and never repeats a secret."""
    command = [str(Path(sys.executable).parent / "entra-async"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    printed = done.stdout + done.stderr

    assert done.returncode == code, printed
    assert text in printed
    assert "hunter2" not in printed
