"""The bar of a batch: drawn on a terminal, and only there."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from runtime.pipeline.rendering import Frame, Source, render
from runtime.pipeline.test_pipeline import Studio, pipeline

from convpolicy.cli.progress import watch


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(terminal: bool) -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=terminal, width=80)
    async with Studio(pipeline()) as studio, render.batch(Source, via=studio.via) as batch:
        for number in range(20):
            await batch.put(Frame(number))
        assert str(await watch(batch, console=console)) == "20 of 20 done"
    assert ("20 of 20 done" in drawn.getvalue()) == terminal
    assert ("Source" in drawn.getvalue()) == terminal
