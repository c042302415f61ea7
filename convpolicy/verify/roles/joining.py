"""Join points: where one who comes late can enter a conversation.

A role's machine has *loop heads*: the states to which its loops return. What is said from a head on is a round of
its own, so whoever enters there understands all that follows without what came before. A newsletter's reader
enters before an edition, and never in the middle of one.

A head is the target of an edge that goes back in a depth-first walk. For the machines of nested loops these are
the targets of edges whose source they dominate (the heads of natural loops), whatever the order of the walk; in
any machine, every cycle passes through one, so that whoever waits in an endless conversation always finds one.

Source: Hecht and Ullman, "Characterizations of Reducible Flow Graphs", JACM 1974 (retreating edges).
"""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.machine import Machine, State

__all__ = ["LARGEST", "entries", "join_points"]

LARGEST = 10_000  # states; a wide `par` can have more, and is not searched


def join_points(machine: Machine) -> tuple[State, ...]:
    """Return the loop heads of a machine, in the order in which a breadth-first walk meets them.

    The order is the same in every process that projects the same policy, which the numbers of a lazy machine
    are not: so a place in this tuple names a join point to another process.

    Raises:
        ValueError: the machine has more than `LARGEST` states.
    """
    order = _breadth_first(machine)
    heads = set(_returned_to(machine))
    return tuple(state for state in order if state in heads)


def entries(machine: Machine) -> tuple[State, ...]:
    """Return where a conversation may be entered: its start, then its join points. Raises as `join_points`."""
    return (machine.start, *(state for state in join_points(machine) if state != machine.start))


def _breadth_first(machine: Machine) -> list[State]:
    order, known = [machine.start], {machine.start}
    for state in order:  # grows while it is walked
        for target in machine.row(state).moves.values():
            if target not in known:
                known.add(target)
                order.append(target)
        if len(order) > LARGEST:
            raise ValueError(f"{machine.role} has more than {LARGEST} states")
    return order


def _returned_to(machine: Machine) -> Iterator[State]:
    """Yield the targets of the edges that lead back to a state on the path of a depth-first walk."""
    known, on_path = {machine.start}, {machine.start}
    path = [(machine.start, iter(machine.row(machine.start).moves.values()))]
    while path:
        state, targets = path[-1]
        target = next(targets, None)
        if target is None:
            path.pop()
            on_path.discard(state)
        elif target in on_path:
            yield target
        elif target not in known:
            known.add(target)
            on_path.add(target)
            path.append((target, iter(machine.row(target).moves.values())))
