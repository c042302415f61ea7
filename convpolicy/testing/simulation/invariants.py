"""What must be true of every run, whatever went wrong in it.

Each rule is a function from a run to the problems that it finds. Nothing of the runtime is asked: the moves of every
participant are played on its projected machine, and what one has received is held against what was on the wire.
Together the participants' moves are then a run of the policy: machines that were checked (`policy.check`), each doing
only what it has, and channels that keep their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations

from convpolicy.errors import Expired
from convpolicy.machine import CRASH, Direction, Lane
from convpolicy.rounds import Counts
from convpolicy.testing.simulation.journals import Kept, unkept
from convpolicy.testing.simulation.record import Part
from convpolicy.testing.simulation.world import Problem, World

__all__ = ["RULES", "broken"]


def broken(world: World) -> list[Problem]:
    """Return every problem of a run."""
    found = dict.fromkeys(world.problems)
    for id, parts in world.record.parts.items():  # noqa: A001
        for rule in RULES:
            found.update(
                (Problem(rule.__name__.replace("_", " "), words, id), None) for words in rule(world, id, parts)
            )
    for id, kept in _kept(world).items():  # noqa: A001
        if id not in world.wire.lied:
            found.update((Problem("is kept", words, id), None) for words in unkept(kept))
    return list(found)


def _kept(world: World) -> dict[bytes, list[Kept]]:
    """Return what the journals have of each conversation."""
    found: dict[bytes, list[Kept]] = {}
    for name, disk in world.disks.items():
        for account in disk.accounts():
            machine = world.castings[account.opening.role].machine
            found.setdefault(account.opening.id, []).append(Kept(name, machine, account))
    return found


def follows_its_machine(_world: World, _id: bytes, parts: list[Part]) -> Iterator[str]:
    """Every participant's moves are a run of its projected machine, to one of its ends where it ends well."""
    for part in parts:
        if part.broken is not None:
            yield f"{part.process.name} does {part.broken}, which its machine does not have there"
        elif part.well and not part.machine.is_final(part.state):
            yield f"{part.process.name} ends well in {part.machine.name(part.state)}"


def keeps_the_order(world: World, id: bytes, parts: list[Part]) -> Iterator[str]:  # noqa: A002
    """What is taken from a channel is what was said on it, in its order, and nothing twice.

    In each round of a block that may be interrupted: what is late there is dropped, and what follows is of another one.
    """
    if id in world.wire.lied or id in world.wire.replayed:
        return
    for part in parts:
        if part.resumed:
            continue  # its journal is held against the others'
        for (sender, lane, rounds), taken in _channels(part).items():
            said = _said(world, part, sender, (lane, rounds))
            if taken != said[: len(taken)]:
                yield f"{part.process.name} takes {_words(taken)} from {sender}, who said {_words(said)}"


def handles_once(world: World, id: bytes, parts: list[Part]) -> Iterator[str]:  # noqa: A002
    """A program is given each message that its role takes once, and as it was sent."""
    for part in parts:
        if world.setting.durable:
            return  # what is taken and not committed is given again: effects count by their commits
        moves = [said.move for said in part.moves if said.move.direction is Direction.RECEIVE]
        taken = [(move.peer, move.label) for move in moves]
        given = [(sender, label) for sender, label, _ in part.handled]
        if given != taken[: len(given)]:
            yield f"{part.process.name} is given {_words(map(_label, given))}, and takes {_words(map(_label, taken))}"
        elif id not in world.wire.lied and id not in world.wire.replayed:
            yield from _altered(world, id, part)


def loses_nothing(world: World, id: bytes, parts: list[Part]) -> Iterator[str]:  # noqa: A002
    """Where all end well, everything that was said is taken. What was acknowledged has come: `Wire` sees to that.

    But not what was said in a block that its receiver has left.
    """
    if not all(part.well for part in parts) or id in world.wire.lied or world.setting.durable:
        return
    for one, other in permutations(parts, 2):
        if any(move.label == CRASH for _, move, _ in (*one.moves, *other.moves)):
            continue
        said, taken = _counted(one, Direction.SEND, other.role), _counted(other, Direction.RECEIVE, one.role)
        late = {place: count for place, count in said.items() if other.has_left(*place)}
        lost = {place: count for place, count in (said - taken).items() if place not in late}
        if lost or taken - said:
            yield (
                f"{one.process.name} has said {said.total()} messages to {other.process.name}, "
                f"who has taken {taken.total()}"
            )


def is_played_once(world: World, id: bytes, parts: list[Part]) -> Iterator[str]:  # noqa: A002
    """No role of a conversation is played by two; without journals, unless the first is gone, and the bus that knew.

    Or the first was not heard for so long that a new bus took it for gone. Without a bus, one that was started again
    may begin anew what is not over for its peer, and fail. Lies may have one process play twice, but no other one.
    """
    for one, other in combinations(parts, 2):
        if one.role != other.role:
            continue
        if world.setting.durable or id in world.wire.lied:
            excused = one.process.name == other.process.name
        else:
            gone = one.lost is not None and one.lost <= other.opened
            silent = any(world.plan.silenced(each.process.name) for each in (one, other))
            unknown = world.plan.bus_died(other.opened) if world.setting.bus else other.error is not None
            excused = unknown and (gone or (silent and world.setting.bus))
        if not excused:
            yield f"{one.role} is played by {one.process.name} and by {other.process.name}"


def fails_for_a_reason(world: World, id: bytes, parts: list[Part]) -> Iterator[str]:  # noqa: A002
    """A conversation ends early only when something has gone wrong for which it may; none when all is well again."""
    for part in parts:
        why = part.error
        if why is None or isinstance(why, Expired) or id in world.wire.lied:
            continue
        healed = world.healed is not None and part.opened >= world.healed
        renewed = world.setting.bus and "its connection is down" in str(why)
        if healed or world.setting.durable or not world.plan.excuses(part.ended or 0.0, renewed=renewed):
            when = "when all is well again" if healed else "and nothing was wrong"
            yield f"{part.process.name} gives up {when}: {type(why).__name__}: {_first(why)}"


RULES = (
    follows_its_machine,
    keeps_the_order,
    handles_once,
    loses_nothing,
    is_played_once,
    fails_for_a_reason,
)


# ------------------------------------------------------------------------------------------------- reading


def _channels(part: Part) -> dict[tuple[str, Lane, Counts], list[str]]:
    """Return the labels that a participant has taken, for each channel and round."""
    found: dict[tuple[str, Lane, Counts], list[str]] = {}
    for _, (direction, peer, label, lane), rounds in part.moves:
        if direction is Direction.RECEIVE and label != CRASH:
            found.setdefault((peer, lane, rounds), []).append(label)
    return found


def _counted(part: Part, direction: Direction, peer: str) -> Counter[tuple[Lane, Counts]]:
    """Return how many messages a participant has said to a role, or taken from it, on each channel in each round."""
    moves = ((move, rounds) for _, move, rounds in part.moves)
    return Counter((move.lane, rounds) for move, rounds in moves if (move.direction, move.peer) == (direction, peer))


def _said(world: World, part: Part, sender: str, place: tuple[Lane, Counts]) -> list[str]:
    """Return the labels that a participant was sent over the wire, in a lane and a round, by their numbers."""
    lane, rounds = place
    roles, symbols = part.machine.roles, part.machine.symbols
    passed = world.wire.said.get((part.conversation.id, roles.index(sender), roles.index(part.role)), {})
    heard = [(symbols[passed[seq].label], passed[seq].rounds) for seq in sorted(passed)]
    return [symbol.label for symbol, told in heard if symbol.lane == lane and told == (rounds if any(rounds) else ())]


def _altered(world: World, id: bytes, part: Part) -> Iterator[str]:  # noqa: A002
    roles, symbols = part.machine.roles, part.machine.symbols
    codecs = world.castings[part.role].codecs
    places: dict[tuple[str, str], int] = {}
    for sender, label, message in part.handled:
        if label == CRASH:
            continue
        place = places[sender, label] = places.get((sender, label), -1) + 1
        passed = world.wire.said.get((id, roles.index(sender), roles.index(part.role)), {})
        same = [passed[seq] for seq in sorted(passed) if symbols[passed[seq].label].label == label]
        if place >= len(same) or codecs[same[place].label].unpack(same[place].payload) != message:
            yield f"{part.process.name} is given a {label} from {sender} that is not the one that was said"


def _words(labels: Iterable[str]) -> str:
    return ", ".join(labels) or "nothing"


def _label(message: tuple[str, str]) -> str:
    return message[1]


def _first(problem: BaseException) -> str:
    return str(problem).partition("\n")[0]
