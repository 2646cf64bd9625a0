"""The ``entra-async`` command."""

from __future__ import annotations

import sys

__all__ = ("main",)


def main() -> None:
    """Run the command; without its libraries, print how to install them."""
    try:
        from entra_async.cli.app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"cyclopts", "rich", "trustme", "jwt"}:
            raise
        sys.exit(f"The command needs {error.name}. Install it with: pip install 'entra-async[cli]'")
    app()
