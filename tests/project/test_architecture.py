"""ARCHITECTURE.md and CONTRIBUTING.md name what exists: files, packages, methods, tests. The pictures are complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "entra_async"
PATH = re.compile(r"(?<![\w./:-])\.?(?:\w[\w.-]*/)*\w[\w.-]*(?:\.(?:py|md|toml|txt)\b|/(?![\w.*]))")
METHOD = re.compile(r"`([A-Z]\w*[a-z]\w*)\.(\w+)`")


def named_paths(page: str) -> set[str]:
    """Return what a page names of files, and of folders by a slash at the end."""
    return set(PATH.findall((ROOT / page).read_text("utf-8")))


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_named_paths_exist(page: str) -> None:
    """Whatever file or folder a page names is there, below the root or the package."""
    paths = named_paths(page)

    assert len(paths) > 10
    assert not {path for path in paths if not (ROOT / path).exists() and not (PACKAGE / path).exists()}


def test_named_methods_are_defined() -> None:
    """Each method that ARCHITECTURE.md names with its class is defined there, or in a class it inherits from."""
    defined: set[tuple[str, str]] = set()
    bases: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                functions = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
                defined |= {(node.name, function.name) for function in functions}

    def is_defined(cls: str, method: str) -> bool:
        return (cls, method) in defined or any(is_defined(base, method) for base in bases.get(cls, ()))

    named = METHOD.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    assert len(named) > 5
    assert not [f"{cls}.{method}" for cls, method in named if not is_defined(cls, method)]


def test_named_tests_exist() -> None:
    """Each test that CONTRIBUTING.md names is in tests/project/test_house.py."""
    named = re.findall(r"`(test_\w+)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    house = (ROOT / "tests" / "project" / "test_house.py").read_text("utf-8")
    assert len(named) > 10
    assert not [name for name in named if f"def {name}(" not in house]


@pytest.mark.parametrize("folder", ["", "testing/"])
def test_picture_is_complete(folder: str) -> None:
    """Each file and package at the top of the package, and of the emulator, is in the pictures of ARCHITECTURE.md."""
    pictures = "\n".join(re.findall(r"```text\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), re.DOTALL))
    drawn = set(PATH.findall(pictures))
    there = {
        f"{folder}{path.name}/" if path.is_dir() else f"{folder}{path.name}"
        for path in (PACKAGE / folder).iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("__")
    }
    assert len(there) > 10
    assert not there - drawn
