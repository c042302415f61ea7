"""Whether a message takes longer among many open conversations: an Order at a seller, without a transport."""

from __future__ import annotations

from time import process_time

from .crowd import AtEngine
from .rounds import Row, Size

__all__ = ["TITLE", "WHAT", "run"]

TITLE = (
    "microseconds of processor for an Order that comes alone, by how many conversations are open; x: times the fewest"
)

WHAT = "an Order, at the seller"
OPEN = (10, 1_000, 100_000, 1_000_000)
PEERS, ORDERS = 10, 200  # orders in one round; they are gone after it
LATE = 1_000_000  # number of the member who comes, orders and leaves


def run(size: Size) -> list[Row]:
    """Measure all crowds in turn, round by round; the first round warms up and is not counted."""
    crowds = {count: AtEngine(PEERS, size.of(count)) for count in OPEN}
    found: dict[int, list[float]] = {count: [] for count in OPEN}
    for number in size.turns():
        for count, crowd in crowds.items():
            cost = _ordered(crowd, LATE + 2 * number)
            if number > 0:
                found[count].append(cost)
    few = found[OPEN[0]]
    return [
        Row(f"{size.of(count):,} open", WHAT, "µs", costs, () if costs is few else few)
        for count, costs in found.items()
    ]


def _ordered(crowd: AtEngine, member: int) -> float:
    before = crowd.open
    crowd.enter(member)
    started = process_time()
    for _ in range(ORDERS):
        crowd.order(member)
    took = process_time() - started
    if crowd.open != before + ORDERS:
        raise RuntimeError(f"{ORDERS} conversations were opened beside {before}, and {crowd.open} are open")
    crowd.leave(member)
    return 1e6 * took / ORDERS
