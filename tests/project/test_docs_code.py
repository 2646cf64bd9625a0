"""The examples in README.md and docs/ do what they say: each complete program is run, each fragment is compiled."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python(?P<marks>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A fenced block of Python: its file and line, its marks, and its code."""

    place: str
    marks: str
    code: str


def find_examples() -> list[Example]:
    """Return every fenced block of Python on the pages."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            place = f"{page.relative_to(ROOT).as_posix()}:{line}"
            found.append(Example(place, match["marks"].strip(), match["code"]))
    return found


EXAMPLES = find_examples()
PROGRAMS = [example for example in EXAMPLES if not example.marks]
FRAGMENTS = [example for example in EXAMPLES if example.marks]


def test_there_are_examples_to_run() -> None:
    """The pages hold programs, so that a change of their format cannot make the tests below pass by running nothing."""
    assert len(PROGRAMS) >= 5
    assert {example.marks for example in FRAGMENTS} <= {"no-run"}


@pytest.mark.emulator
@pytest.mark.interpreter
@pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.place)
def test_program_runs(example: Example, tmp_path: Path) -> None:
    """A program of the documentation runs as it stands, without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("example", FRAGMENTS, ids=lambda example: example.place)
def test_fragment_is_python(example: Example) -> None:
    """A fragment of the documentation is valid Python."""
    compile(example.code, example.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
