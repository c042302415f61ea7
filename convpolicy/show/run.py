"""A run of machines as a sequence chart: an arrow for every message, in the order in which they are sent.

A run has two steps for a message, its sending and its being taken. A chart has one line for both, so it says of those
that are never taken that they are not.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from convpolicy.machine import Direction, Lane, symbol_of
from convpolicy.show.chart import chart
from convpolicy.verify.exploration.explore import Step

__all__ = ["run_chart"]


def run_chart(run: Sequence[Step]) -> str:
    """Draw a run; the text is empty when nothing is sent."""
    channels: dict[tuple[str, str, Lane], deque[int]] = defaultdict(deque)
    arrows: list[tuple[str, str, str]] = []
    for role, move in run:
        sender, receiver, label, lane = symbol_of(role, move)
        channel = channels[sender, receiver, lane]
        if move.direction is Direction.SEND:
            channel.append(len(arrows))
            arrows.append((sender, receiver, label))
        else:
            channel.popleft()
    left = {place for channel in channels.values() for place in channel}
    notes = ((*arrow, "not taken") if place in left else arrow for place, arrow in enumerate(arrows))
    return chart(notes) if arrows else ""
