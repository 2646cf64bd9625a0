"""The output of ``entra-async demo``: progress while it runs, a table at the end."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from entra_async.cli.demo import Job

__all__ = ("DemoView",)

_NAMES: Final = {"Graph": "Users from Graph", "Endpoint": "Machines from Defender"}


class DemoView:
    """Prints to the terminal; where there is none, only whole lines."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._status = self._console.status("Starting…")

    def log(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"[green]•[/] {escape(text)}", soft_wrap=True)

    def show(self, job: Job) -> None:
        """Show the statistics so far in one status line."""
        self._status.start()
        items = "  ".join(f"{name}: [bold]{job.items[service]:,}[/]" for service, name in _NAMES.items())
        self._status.update(f"{items}  in {job.calls:,} requests, {job.throttled} throttled, {job.elapsed_s:.1f} s")

    def show_error(self, text: str) -> None:
        """Print an error."""
        self._status.stop()
        self._console.print(f"[red]✗[/] {escape(text)}", soft_wrap=True)

    def summarize(self, job: Job) -> None:
        """Print the statistics."""
        self._status.stop()
        items = job.items.total()
        table = Table(title="Statistics", title_justify="left", show_header=False, title_style="bold")
        table.add_column(style="cyan")
        table.add_column(justify="right")
        for service, name in _NAMES.items():
            table.add_row(f"{name} (failed)" if service in job.failures else name, f"{job.items[service]:,}")
        table.add_row("HTTP requests", f"{job.calls:,}")
        table.add_row("Token requests", f"{job.token_requests}")
        for audience in job.audiences:
            table.add_row("  for", audience.removeprefix("https://"))
        table.add_row("Throttled (429), waited out", f"{job.throttled}")
        table.add_row("Time", f"{job.elapsed_s:.2f} s")
        table.add_row("Rate", f"{items / job.elapsed_s:,.0f} items/s" if job.elapsed_s else "-")
        table.add_row("Longest event-loop stall", f"{job.longest_stall_s * 1000:.1f} ms")
        self._console.print(table)
        for service, text in job.failures.items():
            self.show_error(f"{service}: {text}")
