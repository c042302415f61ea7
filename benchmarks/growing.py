"""Policies of any size, in the shapes that policies grow in: what the time of a check is measured on.

A shape makes a policy of about as many interactions as it is asked for; each can be followed. Eight roles take
part where the shape does not say otherwise. `known` is a word in the names of roles, so that policies can be told
apart from those that were checked before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from convpolicy import Policy, again, choice, label, loop, par, roles, send, seq
from convpolicy.policy.model import AnyRole, Send, Statement, statements

__all__ = ["SHAPES", "Shape", "interactions"]

Shape = Callable[[int, str], Policy]

EIGHT = 8
TOLD = EIGHT - 1  # interactions in which one role tells all others


def interactions(policy: Policy) -> int:
    """Return how many messages the policy has, each receiver counted."""
    return sum(len(one.receivers) for one in statements(policy.body) if isinstance(one, Send))


def chain(size: int, known: str) -> Policy:
    """One message after the other, round a ring."""
    ring = _cast(EIGHT, known)
    return Policy("Chain", seq(*(send(*_pair(ring, place), label(f"M{place}")) for place in range(size))))


def choices(size: int, known: str) -> Policy:
    """A choice in every branch of a choice; everybody is told which was taken."""
    cast = _cast(EIGHT, known)
    numbers = count()

    def inside(choices: int, depth: int) -> Iterator[Statement]:
        if choices > 0:
            chooser, number = cast[depth % EIGHT], next(numbers)
            left, right = (_tell(cast, chooser, f"{side}{number}") for side in ("Left", "Right"))
            fewer = (choices - 1) // 2
            yield choice(
                chooser, seq(left, *inside(fewer, depth + 1)), seq(right, *inside(choices - 1 - fewer, depth + 1))
            )

    return Policy("Choices", seq(*inside(max(1, size // (2 * TOLD)), 0)))


def refusals(size: int, known: str) -> Policy:
    """A choice in one branch of a choice, and so on inwards: at each step somebody may end it."""
    cast = _cast(EIGHT, known)
    body: Statement = seq()
    for number in reversed(range(max(1, size // (2 * TOLD)))):
        chooser = cast[number % EIGHT]
        body = choice(chooser, seq(_tell(cast, chooser, f"Go{number}"), body), _tell(cast, chooser, f"Stop{number}"))
    return Policy("Refusals", body)


def branches(size: int, known: str) -> Policy:
    """One choice of many branches."""
    cast = _cast(EIGHT, known)
    return Policy("Branches", choice(cast[0], *(_tell(cast, cast[0], f"B{n}") for n in range(max(2, size // TOLD)))))


def loops(size: int, known: str) -> Policy:
    """A loop in a loop in a loop, each left when its leader says so."""
    cast = _cast(EIGHT, known)
    body: Statement = seq()
    for number in reversed(range(max(1, size // (2 * TOLD + 1)))):
        body = _loop(cast, number, body)
    return Policy("Loops", body)


def rounds(size: int, known: str) -> Policy:
    """One loop after the other."""
    cast = _cast(EIGHT, known)
    return Policy("Rounds", seq(*(_loop(cast, number, seq()) for number in range(max(1, size // (2 * TOLD + 1))))))


def sometimes(size: int, known: str) -> Policy:
    """Four roles; one gets the same message again and again or not, and cannot tell how far the others are."""
    decides, passes, hears, learns = _cast(4, known)
    step = choice(
        decides,
        seq(send(decides, passes, label("Tell")), send(passes, hears, label("News"))),
        send(decides, passes, label("Skip")),
    )
    end = (send(decides, passes, label("End")), send(passes, hears, label("End")), send(hears, learns, label("Report")))
    return Policy("Sometimes", seq(*(step for _ in range(max(1, size // 3 - 1))), *end))


def par_of_four(size: int, known: str) -> Policy:
    """Four parallel branches, each between two roles."""
    cast = _cast(EIGHT, known)
    return Policy("Par", par(*(_talk(cast[2 * n : 2 * n + 2], f"B{n}_", max(1, size // 4)) for n in range(4))))


def wide_par(size: int, known: str) -> Policy:
    """Parallel branches of five messages each, as many as there is room for; every role is in most of them."""
    ring = _cast(EIGHT, known)
    return Policy("Wide", par(*(_talk(ring[n % EIGHT :] + ring, f"B{n}_", 5) for n in range(max(2, size // 5)))))


def many_roles(size: int, known: str) -> Policy:
    """One role asks every other in turn: as many roles as there is room for."""
    hub, *others = _cast(max(1, size // 2) + 1, known)
    asked = (seq(send(hub, other, label("Ask")), send(other, hub, label("Answer"))) for other in others)
    return Policy("Roles", seq(*asked))


SHAPES: dict[str, Shape] = {
    "chain": chain,
    "nested choices": choices,
    "refusals": refusals,
    "one wide choice": branches,
    "nested loops": loops,
    "loops in turn": rounds,
    "par of four": par_of_four,
    "wide par": wide_par,
    "many roles": many_roles,
    "sometimes told": sometimes,
}


def _cast(number: int, known: str) -> tuple[AnyRole, ...]:
    return roles(*(f"R{place}{known}" for place in range(number)))


def _pair(ring: tuple[AnyRole, ...], place: int) -> tuple[AnyRole, AnyRole]:
    return ring[place % len(ring)], ring[(place + 1) % len(ring)]


def _talk(ring: tuple[AnyRole, ...], name: str, length: int) -> Statement:
    return seq(*(send(*_pair(ring, place), label(f"{name}{place}")) for place in range(length)))


def _tell(cast: tuple[AnyRole, ...], teller: AnyRole, name: str) -> Statement:
    return Send(teller, tuple(role for role in cast if role != teller), label(name))


def _loop(cast: tuple[AnyRole, ...], number: int, body: Statement) -> Statement:
    leader, second = _pair(cast, number)
    again_and_again = seq(
        _tell(cast, leader, f"More{number}"), send(second, leader, label(f"Ready{number}")), body, again(f"L{number}")
    )
    return loop(f"L{number}", choice(leader, again_and_again, _tell(cast, leader, f"Enough{number}")))
