"""Sequence charts for the terminal: lifelines, arrows, and boxes around what is alternative, parallel or repeated.

    Buyer            Seller
      │──── Order ────▶│

Every line is made on its own from the places of the lifelines, so a conversation can be drawn while it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from convpolicy.show.score import Frame, Item, Message, Note, Score, messages, of_steps

__all__ = ["Chart", "chart", "drawn"]

_ROOM = 8  # what an arrow needs beside its label: both lifelines' ends, dashes, spaces and the head
_DIVIDER = {"alt": "or", "par": "and", "interruptible": "unless"}


class Chart:
    """A chart that is drawn line by line: print `header`, then `message(…)` for each message as it comes.

    The lifelines stand far enough apart for `labels`; a longer label is cut.

    >>> chart = Chart(["Buyer", "Seller"], ["Order"])
    >>> print(chart.header)
    Buyer       Seller
    >>> print(chart.message("Buyer", "Seller", "Order"))
      │── Order ──▶│
    """

    def __init__(self, roles: Sequence[str], labels: Iterable[str] = ()) -> None:
        widest = max(map(len, labels), default=8)
        arrows = [Message(left, right, "-" * widest) for left, right in pairwise(roles)]
        self._page = _Page(Score(tuple(roles), tuple(arrows)), 0)

    @property
    def header(self) -> str:
        """The names of the roles, each above its lifeline."""
        return self._page.header()

    def message(self, sender: str, receiver: str, label: str, note: str = "") -> str:
        """Return the line of one message.

        Raises:
            ValueError: a role has no lifeline here.
        """
        return self._page.message(Message(sender, receiver, label, note), 0)


def chart(steps: Iterable[Sequence[str]], roles: Iterable[str] = ()) -> str:
    """Draw a conversation as it went: `(sender, receiver, label)` or `(sender, receiver, label, note)` each."""
    return drawn(of_steps(steps, roles))


def drawn(score: Score) -> str:
    """Draw a score."""
    page = _Page(score, _depth(score.items))
    return "\n".join([page.header(), *page.lines(score.items, 0)])


def _depth(items: Iterable[Item]) -> int:
    """Return how many frames are nested at most."""
    frames = (item for item in items if isinstance(item, Frame))
    return max((1 + max(map(_depth, frame.sections), default=0) for frame in frames), default=0)


def _needed(items: Iterable[Item], margin: int, depth: int = 0) -> int:
    """Return how wide a page must be for the titles of its frames and for its notes."""
    widths = [0]
    for item in items:
        if isinstance(item, Note):
            widths.append(len(item.text) + 2 + 2 * margin)
        elif isinstance(item, Frame):
            widths.append(len(_title(item)) + 6 + 4 * depth)
            widths += [_needed(section, margin, depth + 1) for section in item.sections]
    return max(widths)


def _title(frame: Frame) -> str:
    return f"{frame.kind} {frame.title}".strip()


# -------------------------------------------------------------------------------------------------- the page


class _Page:
    """Where everything stands: `_at` has the column of each lifeline, frames take `_margin` on either side."""

    def __init__(self, score: Score, depth: int) -> None:
        self._margin = 2 * depth
        self._names = score.roles
        self._at = self._places(score)
        ends = (place + len(role) // 2 + 1 for role, place in self._at.items())
        self._width = max(max(ends, default=0) + self._margin, _needed(score.items, self._margin))

    def _places(self, score: Score) -> dict[str, int]:
        gaps = [len(left) // 2 + len(right) // 2 + 3 for left, right in pairwise(score.roles)]
        order = {role: place for place, role in enumerate(score.roles)}
        for message in messages(score.items):
            start, end = sorted((order[message.sender], order[message.receiver]))
            missing = len(message.label) + _ROOM - sum(gaps[start:end])
            for place in range(start, end):  # shared out, so that a long arrow widens all that it crosses
                gaps[place] += max(0, -(-missing // (end - start)))
        places: dict[str, int] = {}
        column = self._margin + (len(score.roles[0]) // 2 if score.roles else 0)
        for role, gap in zip(score.roles, (*gaps, 0), strict=False):  # nothing stands to the right of the last
            places[role] = column
            column += gap
        return places

    def header(self) -> str:
        line = [" "] * self._width
        for role in self._names:
            _put(line, self._at[role] - len(role) // 2, role)
        return "".join(line).rstrip()

    def lines(self, items: Iterable[Item], depth: int) -> Iterator[str]:
        for item in items:
            match item:
                case Message():
                    yield self.message(item, depth)
                case Note():
                    yield self._note(item, depth)
                case Frame():
                    yield from self._frame(item, depth)

    def message(self, message: Message, depth: int) -> str:
        sender, receiver, label, note = message
        unknown = [role for role in (sender, receiver) if role not in self._at]
        if unknown:
            raise ValueError(f"the chart has no lifeline for {unknown[0]}; it has {', '.join(self._names)}")
        line = self._lifelines(depth)
        left, right = sorted((self._at[sender], self._at[receiver]))
        _put(line, left + 1, _arrow(label, right - left - 1, rightwards=self._at[sender] < self._at[receiver]))
        text = "".join(line)
        return f"{text}  {note}" if note else text.rstrip()

    def _note(self, note: Note, depth: int) -> str:
        line = self._lifelines(depth)
        places = [self._at[role] for role in note.roles] or [0]
        text = f" {note.text} "
        middle = (min(places) + max(places) + 1 - len(text)) // 2
        _put(line, max(self._margin, min(middle, self._width - self._margin - len(text))), text)
        return "".join(line).rstrip()

    # ------------------------------------------------------------------------------------------- the boxes

    def _frame(self, frame: Frame, depth: int) -> Iterator[str]:
        yield self._rule(depth, ("┌", "─", "┐"), _title(frame))
        for number, section in enumerate(frame.sections):
            if number:
                yield self._rule(depth, ("├", "╌", "┤"), _DIVIDER.get(frame.kind, ""))
            # A section in which nothing is said is seen as some time that passes.
            yield from self.lines(section, depth + 1) if section else ["".join(self._lifelines(depth + 1)).rstrip()]
        yield self._rule(depth, ("└", "─", "┘"), "")

    def _rule(self, depth: int, corners: tuple[str, str, str], title: str) -> str:
        """Draw a horizontal line of a box, with the boxes around it."""
        left, dash, right = corners
        line = self._boxes(depth)
        inside = f"{left}{dash} {title} " if title else left
        start, end = 2 * depth, self._width - 1 - 2 * depth
        _put(line, start, inside.ljust(end - start, dash) + right)
        return "".join(line).rstrip()

    def _boxes(self, depth: int) -> list[str]:
        line = [" "] * self._width
        for outer in range(depth):
            line[2 * outer] = line[self._width - 1 - 2 * outer] = "│"
        return line

    def _lifelines(self, depth: int) -> list[str]:
        line = self._boxes(depth)
        for column in self._at.values():
            line[column] = "│"
        return line


def _put(line: list[str], start: int, text: str) -> None:
    missing = start + len(text) - len(line)
    line.extend(" " * missing)
    line[start : start + len(text)] = text


def _arrow(label: str, length: int, *, rightwards: bool) -> str:
    room = length - 5  # the head, and a dash and a space on either side
    text = label if len(label) <= room else f"{label[: room - 1]}…"
    line = f" {text} ".center(length - 1, "─") if text else "─" * (length - 1)
    return f"{line}▶" if rightwards else f"◀{line}"
