"""
Every guard of this project as a session: plain ``nox`` runs all that must pass, ``nox -s quick`` what takes seconds.

``.ci/run`` runs the same sessions from a bare Python.
"""

from __future__ import annotations

import sys

import nox

nox.needs_version = ">=2025.10.16"
nox.options.sessions = ["lint", "tests", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
# An interpreter that this machine lacks is skipped, in CI too: nobody needs all of them to contribute.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

PROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PROJECT)
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
# The interpreter that runs nox is there for certain, so the tests never pass by being skipped everywhere.
PYTHONS = SUPPORTED if RUNNING in SUPPORTED else [*SUPPORTED, RUNNING]


def install(session: nox.Session, extras: str, *groups: str) -> None:
    """Install the package as it lies here, with these extras and dependency groups."""
    session.install("-e", f".[{extras}]", *nox.project.dependency_groups(PROJECT, *groups))
    # Where this is set, each of the programs that the tests start compiles all that it imports anew.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""


def check(session: nox.Session) -> None:
    """Run what reads the code without running it."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    # pyright, with its engine in the wheel: what editors show of the verbs' results is what mypy sees.
    session.run("basedpyright", "--level", "error", "tests/project/typed_results.py")
    session.run("lint-imports")


@nox.session(reuse_venv=True)
def quick(session: nox.Session) -> None:
    """
    Check the whole tree, and run the tests that need no emulator and no time limit of their own.

    Each runs with one of its cases and few examples, but those of the house with all.
    """
    install(session, "cli,otel", "lint", "test")
    check(session)
    quickly = ("-m", "not emulator and not timeout", "--one-case", "--hypothesis-profile=quick")
    session.run("pytest", "--numprocesses=auto", *quickly, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, types and layers."""
    install(session, "cli,otel", "lint", "test")
    check(session)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """
    Run the tests; what follows ``--`` goes to pytest.

    The Python that runs nox runs every case. Each other one runs every test too, but with one of its cases, which the
    seed chooses, unless something follows ``--``: what differs between interpreters shows in a test, not in its table.
    """
    install(session, "cli,otel", "test")
    arguments = session.posargs or ([] if session.python == RUNNING else ["--one-case"])
    session.run("pytest", "--numprocesses=auto", *arguments)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation offline; a warning or a reference that leads nowhere is an error."""
    install(session, "cli,otel", "docs")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def readme(session: nox.Session) -> None:
    """Run only the code in README.md and docs/, which ``tests`` runs as well."""
    install(session, "cli", "test")
    session.run("pytest", "tests/project/test_docs_code.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against a bare aiohttp loop; what follows ``--`` goes to ``python -m benchmarks``."""
    install(session, "testing,speed")
    session.run("python", "-m", "benchmarks", *session.posargs)
