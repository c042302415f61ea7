"""A batch on a terminal: a bar while it runs, nothing where nobody looks."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from convpolicy.runtime.pipeline.batch import Batch, BatchReport

__all__ = ["watch"]


async def watch(batch: Batch[Any], *, console: Console | None = None) -> BatchReport:
    """Wait for a batch whose tasks are all put in, and return its report; draw a bar when stderr is a terminal.

    Raises as `Batch.done` does.
    """
    console = console or Console(stderr=True, file=sys.stderr)
    if not console.is_terminal:
        return await batch.done()
    columns = TextColumn("{task.fields[role]}"), BarColumn(), TextColumn("{task.fields[state]}")
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", role=batch.role, state="")
        batch.close()  # what a volatile pipeline has lost is known only then
        async for state in batch.progress():
            bar.update(shown, total=state.total, completed=state.done + state.quarantined, state=str(state))
        return await batch.done()
