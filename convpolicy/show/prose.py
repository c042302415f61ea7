"""A machine in English, from its role's viewpoint.

> Buyer opens by sending Order. It must then be ready for Shipment and Invoice in either order; on Invoice it
> must send Payment.

`story` finds out what there is to tell; here it is put into words. When there are several paragraphs they are
numbered, and refer to each other by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from convpolicy.errors import one_of
from convpolicy.machine import CRASH, Direction, Machine
from convpolicy.show.diagram import times
from convpolicy.show.story import (
    MOST,
    Act,
    Acts,
    Beat,
    Break,
    End,
    Ending,
    Option,
    Paragraph,
    Pick,
    Point,
    Step,
    Together,
    breaks,
    tell,
)

__all__ = ["prose"]


def prose(machine: Machine) -> str:
    """Return what the role must do, may do and must be ready for, in sentences; a paragraph is one line."""
    paragraphs = tell(machine)
    roles = {role for symbol in machine.symbols for role in (symbol.sender, symbol.receiver)}
    speaker = _Speaker(machine.role, [paragraph.point for paragraph in paragraphs], names_peers=len(roles) != 2)
    texts = [" ".join(speaker.sentences(paragraph)) for paragraph in paragraphs]
    texts[0] = " ".join([texts[0], *map(speaker.interrupted, breaks(machine))])
    if len(texts) == 1:
        return texts[0]
    if len(texts) == MOST:
        texts.append("… and more: the machine is longer than this.")
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


class _Speaker:
    def __init__(self, role: str, points: Iterable[Point], *, names_peers: bool) -> None:
        self._role, self._names_peers = role, names_peers
        self._numbers = {point: number for number, point in enumerate(points, 1)}
        self._told = Point(0, ())  # where the paragraph begins that is being told

    # ------------------------------------------------------------------------------------------- sentences

    def sentences(self, paragraph: Paragraph) -> Iterator[str]:
        """Yield the sentences of a paragraph."""
        self._told = paragraph.point
        steps = list(paragraph.steps)
        lead = f"{self._role} must"
        if self._numbers[paragraph.point] == 1:
            yield from self._opening(steps)
            if len(steps) < len(paragraph.steps):
                lead = self._next_lead(paragraph.steps[0])
        while steps:
            step = steps.pop(0)
            match step:
                case Together():
                    yield f"{lead} {self._together(step)}."
                case Pick():
                    yield f"{self._leave(lead, step)}{self._clauses(step.options)}."
                case Beat():
                    yield f"{lead} {self._beats([step, *_taken(steps)])}."
            lead = self._next_lead(step)
        yield from self._closing(paragraph)

    def interrupted(self, ended: Break) -> str:
        """Say what may end a block, and where that leads."""
        acts = tuple(Act(move, None, None) for move in ended.moves)
        sends = tuple(act for act in acts if act.move.direction is Direction.SEND)
        receives = tuple(act for act in acts if act.move.direction is Direction.RECEIVE)
        parts = [f"end it with {self._names(sends, 'to')}"] if sends else []
        parts += [f"be interrupted by {self._names(receives, 'from')}"] if receives else []
        block = one_of(map(_label, ended.labels), empty="the others", word="and")
        where = self._numbers.get(ended.point, "…")
        return f"Within the block of {block} it may {' or '.join(parts)}, and then goes on at {where}."

    def _opening(self, steps: list[Step]) -> Iterator[str]:
        """Take the first step where it has an opening of its own."""
        match steps:
            case []:
                yield f"{self._role} has nothing to do."
            case [Pick(options, optional=False) as pick, *_]:
                steps.pop(0)
                yield f"{self._opens(_acts(pick))}{self._clauses(options)}."
            case [Beat(acts), *_]:
                steps.pop(0)
                yield f"{self._opens(acts)}."
            case _:
                pass

    def _opens(self, acts: Acts) -> str:
        directions = {act.move.direction for act in acts}
        if directions == {Direction.SEND}:
            return f"{self._role} opens by sending {self._names(acts, 'to')}"
        if directions == {Direction.RECEIVE}:
            return f"{self._role} waits for {self._names(acts, 'from')}"
        return f"{self._role} must first {self._do(acts)}"

    def _leave(self, lead: str, pick: Pick) -> str:
        """Say what may be chosen, and that the role may stop instead where it may."""
        acts = _acts(pick)
        if not pick.optional:
            return f"{lead} {self._do(acts)}"
        stop = lead.replace("must", "may") + (" leave this branch" if self._told.scope else " stop")
        if any(act.move.direction is Direction.SEND for act in acts):
            return f"{stop}, or {self._do(acts)}"
        return f"{stop}, but must {self._do(acts)}"

    def _next_lead(self, step: Step) -> str:
        if isinstance(step, Pick):  # more follows only where all options come together
            return f"In {'either' if len(step.options) == 2 else 'any'} case it must then"
        return "It must then"

    def _closing(self, paragraph: Paragraph) -> Iterator[str]:
        match paragraph.ending:
            case Point() as point:
                yield f"It then {self._goes(point)}."
            case End.STUCK:
                yield "It is then stuck: it has nothing to do, and may not stop."
            case End.DONE if len(self._numbers) > 1:
                yield "This branch is then over." if paragraph.point.scope else "It is then done."
            case _:
                pass

    # --------------------------------------------------------------------------------------------- clauses

    def _together(self, together: Together) -> str:
        order = "in either order" if len(together.branches) == 2 else "in any order"
        options = [o for branch in together.branches if isinstance(branch, Pick) for o in branch.options]
        clauses = self._clauses([option for option in options if not _is_over(option)])
        receives = self._heads(together, Direction.RECEIVE)
        if receives:
            return f"be ready for {one_of(receives, word='and')} {order}{clauses}"
        sends = self._heads(together, Direction.SEND)
        if sends:
            return f"send {one_of(sends, word='and')} {order}{clauses}"
        return f"{one_of(map(self._follow, together.branches), word='and')}, {order}{clauses}"

    def _heads(self, together: Together, direction: Direction) -> list[str]:
        """Return the names of what comes first in each branch, if all of it goes in this direction."""
        heads: list[str] = []
        for branch in together.branches:
            if isinstance(branch, Point) or any(act.move.direction is not direction for act in _acts(branch)):
                return []
            names = self._names(_acts(branch), "to" if direction is Direction.SEND else "from")
            heads.append(f"{_perhaps(branch)}{'either ' if len(_acts(branch)) > 1 else ''}{names}")
        return heads

    def _follow(self, branch: Pick | Point) -> str:
        if isinstance(branch, Point):
            return f"follow {self._numbers.get(branch, '…')}"
        return f"{_perhaps(branch)}{self._do(_acts(branch))}"

    def _clauses(self, options: Iterable[Option]) -> str:
        """Return what follows each option, those with the same consequence together."""
        by_consequence: dict[str, Acts] = {}
        for option in options:
            consequence = self._consequence(option.rest, option.ending)
            if consequence:
                by_consequence[consequence] = by_consequence.get(consequence, ()) + option.acts
        if set(by_consequence) == {self._goes(End.DONE)}:
            return ""
        return "".join(f"; {self._when(acts)} it {then}" for then, acts in by_consequence.items())

    def _when(self, acts: Acts) -> str:
        received = all(act.move.direction is Direction.RECEIVE for act in acts)
        return f"{'on' if received else 'after'} {one_of(dict.fromkeys(_label(act.move.label) for act in acts))}"

    def _consequence(self, rest: tuple[Beat, ...], ending: Ending) -> str:
        if not rest:
            return self._goes(ending)
        onward = f", then {self._goes(ending, infinitive=True)}" if isinstance(ending, Point) else ""
        return f"must {self._beats(rest)}{onward}"

    def _goes(self, ending: Ending, *, infinitive: bool = False) -> str:
        match ending:
            case Point():
                number = self._numbers.get(ending, 0)
                go, start = ("go", "start") if infinitive else ("goes", "starts")
                if number == 1:
                    return f"{start} over"
                return f"{go} {'back to' if ending == self._told else 'on at'} {number or '…'}"
            case End.DONE:
                return "has nothing more to do there" if self._told.scope else "is done"
            case End.STUCK:
                return "is stuck"
            case _:
                return ""

    # ------------------------------------------------------------------------------------------------ words

    def _beats(self, beats: Iterable[Beat]) -> str:
        return ", then ".join(self._do(beat.acts) for beat in beats)

    def _do(self, acts: Acts) -> str:
        sends = tuple(act for act in acts if act.move.direction is Direction.SEND)
        receives = tuple(act for act in acts if act.move.direction is Direction.RECEIVE)
        parts = [f"send {self._names(sends, 'to')}"] if sends else []
        if receives:
            parts.append(f"be ready for {self._names(receives, 'from')}")
        return " or ".join(parts)

    def _names(self, acts: Acts, preposition: str) -> str:
        """Return the labels, with the peer unless there is only one, and with their times."""
        groups: dict[str, dict[str, None]] = {}
        for move, limit, delay in acts:
            peer = f" {preposition} {move.peer}" if self._names_peers else ""
            groups.setdefault(f"{peer}{times(limit, delay)}", {})[_label(move.label)] = None
        return one_of(f"{one_of(labels)}{behind}" for behind, labels in groups.items())


def _label(label: str) -> str:
    return "crash" if label == CRASH else label or "a message without a name"


def _acts(pick: Pick) -> Acts:
    return tuple(act for option in pick.options for act in option.acts)


def _taken(steps: list[Step]) -> Iterator[Beat]:
    """Take the beats with which the steps begin: one sentence has room for them."""
    while steps and isinstance(beat := steps[0], Beat):
        steps.pop(0)
        yield beat


def _perhaps(branch: Pick) -> str:
    return "perhaps " if branch.optional else ""


def _is_over(option: Option) -> bool:
    return not option.rest and option.ending is End.DONE
