"""Hundreds of clients whose server is killed and started again: everybody comes back, and not all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["listener", "bus"])
def test_500_clients_of_a_server_that_was_restarted_come_back_and_go_on(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.storm import CLIENTS, restarted

    measured = restarted(kind, CLIENTS, away=3.0)  # ends when each has held a conversation; raises when one is missing
    assert measured["most connections in 0.1 s"] < CLIENTS / 3
