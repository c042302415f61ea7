"""The shape of what a role has to do: what `prose` puts into words.

A machine is told in paragraphs. A paragraph follows the moves as long as there is one way to go; what differs
after a choice is told along with the choice, up to where it gets complicated. A state that can be reached in
several ways begins a paragraph of its own, so a loop is a paragraph that leads back to itself.

Interrupts are told by themselves: which of them may come while the role is in which block, and where each leads.

Moves in different branches of one `par` are told as branches, each as if the others were over. So a wide `par`
is told in the sum of its branches and its product is never visited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import NamedTuple

from convpolicy.machine import Lane, Machine, Move, State, independent

__all__ = [
    "Act",
    "Acts",
    "Beat",
    "Break",
    "End",
    "Ending",
    "Option",
    "Paragraph",
    "Pick",
    "Step",
    "Together",
    "breaks",
    "tell",
]

MOST = 300  # points that are looked at; a story that is longer than this is cut off


class Point(NamedTuple):
    """A state, as far as the moves in `scope` go: a lane that all of them lie in."""

    state: State
    scope: Lane


class Act(NamedTuple):
    """A move, within which time it must happen, and after which."""

    move: Move
    limit: float | None
    delay: float | None


class End(Enum):
    """How a paragraph can end, other than by going on at another one."""

    DONE = "done"
    STUCK = "stuck"
    NEVER = "never"  # a branch of a par goes on for ever, or a block until it is interrupted: nothing comes after it
    JOIN = "join"  # all options lead to what is told next


Ending = Point | End
Acts = tuple[Act, ...]


class Beat(NamedTuple):
    """One of these moves, after each of which the story is the same."""

    acts: Acts


class Option(NamedTuple):
    """One way to go: any of `acts`, then `rest`, then `ending`."""

    acts: Acts
    rest: tuple[Beat, ...]
    ending: Ending


class Pick(NamedTuple):
    """A choice; `optional` when the role may also stop, or, in a branch, may have to do nothing."""

    options: tuple[Option, ...]
    optional: bool


class Together(NamedTuple):
    """Branches in any order; one that has to be told elsewhere is the point where it is."""

    branches: tuple[Pick | Point, ...]


Step = Beat | Pick | Together


class Paragraph(NamedTuple):
    """What happens from a point on."""

    point: Point
    steps: tuple[Step, ...]
    ending: Ending


class Break(NamedTuple):
    """The interrupts of one block that lead to one point: `labels` are what the role says and hears in the block."""

    labels: tuple[str, ...]
    moves: tuple[Move, ...]
    point: Point


def breaks(machine: Machine) -> list[Break]:
    """Return what the interrupts of a machine lead to, the outer blocks of its first states first."""
    found: dict[tuple[Lane, Point], dict[Move, None]] = {}
    for state in islice(machine.states(), MOST if machine.blocks else 0):
        row = machine.row(state)
        for move in row.interrupts:
            point = Point(row.moves[move], move.lane[:-1])
            found.setdefault(((*point.scope, (move.lane[-1][0], 0)), point), {})[move] = None
    return [Break(_said_in(machine, lane), tuple(moves), point) for (lane, point), moves in found.items()]


def _said_in(machine: Machine, lane: Lane) -> tuple[str, ...]:
    own = (symbol for symbol in machine.symbols if machine.role in (symbol.sender, symbol.receiver))
    return tuple(dict.fromkeys(symbol.label for symbol in own if symbol.lane[: len(lane)] == lane))


def tell(machine: Machine) -> list[Paragraph]:
    """Return the paragraphs in the order in which they are first mentioned, at most `MOST` of them."""
    return list(_Teller(machine).paragraphs())


class _Teller:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._start = Point(machine.start, ())
        self._mentioned = {self._start: None, **{ended.point: None for ended in breaks(machine)}}
        self._from = self._arrivals()

    def paragraphs(self) -> Iterator[Paragraph]:
        told = 0
        while told < min(len(self._mentioned), MOST):
            yield self._paragraph(list(self._mentioned)[told])
            told += 1

    # ----------------------------------------------------------------------------------------- the way ahead

    def _moves(self, point: Point) -> Mapping[Move, State]:
        depth = len(point.scope)
        row = self._machine.row(point.state)
        within = {move: target for move, target in row.moves.items() if move.lane[:depth] == point.scope}
        return {move: target for move, target in within.items() if move not in row.interrupts}

    def _branches(self, point: Point) -> tuple[Lane, ...]:
        """Return the lanes into which the moves fall apart, or nothing when some of them depend on all others."""
        lanes = [move.lane for move in self._moves(point)]
        depth = len(point.scope)
        while all(len(lane) > depth for lane in lanes) and len({lane[: depth + 1] for lane in lanes}) == 1:
            depth += 1
        branches = tuple(dict.fromkeys(lane[: depth + 1] for lane in lanes))
        apart = all(independent(one, other) for one in branches for other in branches if one != other)
        return branches if apart and len(branches) > 1 else ()

    def _optional(self, point: Point) -> bool:
        """Return whether this may be the end: of all, or of the branch, when something after it is possible."""
        state, scope = point
        outside = (move.lane for move in self._machine.moves[state] if move.lane[: len(scope)] != scope)
        return self._machine.is_final(state) or any(not independent(lane, scope) for lane in outside)

    def _over(self, state: State, scope: Lane) -> State | None:
        """Return the nearest state in which nothing is left to do in a branch; None when there always is."""
        seen, todo = {state}, [state]
        for here in todo:  # grows while it is walked
            targets = self._moves(Point(here, scope)).values()
            if not targets:
                return here
            todo += [target for target in dict.fromkeys(targets) if target not in seen]
            seen.update(targets)
        return None

    def _finished(self, state: State, branches: Iterable[Lane]) -> State:
        """Return the state in which those branches are over that come to an end by themselves."""
        for scope in branches:
            over = self._over(state, scope)
            state = state if over is None else over
        return state

    def _after(self, point: Point, branches: tuple[Lane, ...]) -> State | None:
        """Return the state in which the par of these branches is left; None when it never is.

        A branch may have an end from which it could also go on, such as a loop that ends in the same way as it
        repeats. Then what comes after the par is found beside what is left of the branch.
        """
        depth = len(branches[0])
        start = self._finished(point.state, branches)
        seen, todo = {start}, [start]
        for here in todo:  # grows while it is walked
            moves = self._moves(Point(here, point.scope))
            inside = {move: target for move, target in moves.items() if move.lane[:depth] in branches}
            if len(inside) < len(moves) or not inside:
                return here
            todo += [target for target in dict.fromkeys(inside.values()) if target not in seen]
            seen.update(inside.values())
            if len(todo) > MOST:
                break
        return None

    def _entries(self, point: Point, branches: tuple[Lane, ...]) -> list[Point]:
        """Return where each branch starts, with the others over where they can be."""
        return [
            Point(self._finished(point.state, (other for other in branches if other != scope)), scope)
            for scope in branches
        ]

    def _arrivals(self) -> dict[Point, set[Point | None]]:
        """Return, for each point, the points that lead to it."""
        arrivals: dict[Point, set[Point | None]] = {self._start: {None}}
        todo = [self._start]
        for point in todo:
            for after in self._following(point):
                if after not in arrivals:
                    todo.append(after)
                arrivals.setdefault(after, set()).add(point)
            if len(todo) > MOST:
                break
        return arrivals

    def _following(self, point: Point) -> Iterator[Point]:
        branches = self._branches(point)
        if not branches:
            yield from (Point(target, point.scope) for target in self._moves(point).values())
            return
        yield from self._entries(point, branches)
        after = self._after(point, branches)
        if after is not None:
            yield Point(after, point.scope)

    def _shared(self, point: Point) -> bool:
        return len(self._from.get(point, ())) != 1 and bool(self._moves(point))

    # ------------------------------------------------------------------------------------------- the telling

    def _paragraph(self, start: Point) -> Paragraph:
        steps: list[Step] = []
        here = start
        while True:
            step, after = self._step(here)
            if step is not None:
                steps.append(step)
            if not isinstance(after, Point):
                return Paragraph(start, tuple(steps), after)
            # After a choice whose ways all come together, the story goes on here and nowhere else.
            joins = isinstance(step, Pick)
            if self._shared(after) and not joins:
                return Paragraph(start, tuple(steps), self._mention(after))
            here = after

    def _step(self, point: Point) -> tuple[Step | None, Ending]:
        """Return what happens at the point, and where it goes on."""
        if not self._moves(point):
            return None, self._end(point)
        branches = self._branches(point)
        if branches:
            after = self._after(point, branches)
            together = Together(tuple(map(self._branch, self._entries(point, branches))))
            return together, End.NEVER if after is None else Point(after, point.scope)
        beat = self._beat(point)
        if beat is not None:
            return beat
        pick, sources = self._pick(point)
        joined = self._joined(pick, sources)
        if joined:
            return pick._replace(options=tuple(option._replace(ending=End.JOIN) for option in pick.options)), joined
        for option in pick.options:
            self._mention(option.ending)
        return pick, End.NEVER

    def _beat(self, point: Point) -> tuple[Beat, Point] | None:
        """Return the moves of a point from which there is one way on."""
        moves = self._moves(point)
        targets = set(moves.values())
        if len(targets) != 1 or self._optional(point) or self._branches(point):
            return None
        return Beat(self._acts(point, moves)), Point(targets.pop(), point.scope)

    def _acts(self, point: Point, moves: Iterable[Move]) -> Acts:
        return tuple(
            Act(move, self._machine.limit(point.state, move), self._machine.delay(point.state, move)) for move in moves
        )

    def _branch(self, entry: Point) -> Pick | Point:
        if self._shared(entry) or self._branches(entry):
            self._mention(entry)
            return entry
        pick, _ = self._pick(entry)
        for option in pick.options:
            self._mention(option.ending)
        return pick

    def _pick(self, point: Point) -> tuple[Pick, set[Point]]:
        """Return the choice at a point, and the points from which its options come to their endings."""
        by_target: dict[State, list[Move]] = {}
        for move, target in self._moves(point).items():
            by_target.setdefault(target, []).append(move)
        options: list[Option] = []
        sources: set[Point] = set()
        for target, moves in by_target.items():
            rest, ending, source = self._straight(Point(target, point.scope), point)
            options.append(Option(self._acts(point, moves), rest, ending))
            sources.add(source)
        return Pick(tuple(options), self._optional(point)), sources

    def _straight(self, here: Point, source: Point) -> tuple[tuple[Beat, ...], Ending, Point]:
        """Follow the one way on; return its moves, where it ends, and the last point before that."""
        beats: list[Beat] = []
        while not self._shared(here):
            if not self._moves(here):
                return tuple(beats), self._end(here), source
            beat = self._beat(here)
            if beat is None:
                break
            source = here
            told, here = beat
            beats.append(told)
        return tuple(beats), here, source

    def _joined(self, pick: Pick, sources: set[Point]) -> Point | None:
        """Return where all options come together, when nothing else leads there."""
        endings = {option.ending for option in pick.options}
        (ending,) = endings if len(endings) == 1 else (None,)
        if isinstance(ending, Point) and not pick.optional and self._from.get(ending) == sources:
            return ending
        return None

    def _end(self, point: Point) -> End:
        row = self._machine.row(point.state)
        if row.interrupts and not row.final:
            return End.NEVER
        return End.DONE if point.scope or row.final else End.STUCK

    def _mention(self, ending: Ending) -> Ending:
        if isinstance(ending, Point):
            self._mentioned.setdefault(ending)
        return ending
