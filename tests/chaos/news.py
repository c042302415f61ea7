"""What a reader of a tree was given, held against what was published: whether every hole is in the account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BEGINS = 1_000_000  # an edition's number is the publisher's process times this, and its place there


def unexplained(lines: Iterable[list[str]], last: int) -> Iterator[str]:
    """Yield every hole in what a reader wrote down that no gap explains. `last` is the last edition of all.

    Message n of a publisher's conversation is its edition n, from 1. What came before a reader entered is not missing.
    """
    expected: int | None = None  # the place of the next edition; None where any may come
    publisher = -1  # whose edition was heard last; -1 where any one's may come
    ended = heard = False
    for words in lines:
        if words[0] == "enters":
            expected, publisher, ended, heard = None, -1, False, False
        elif words[0] == "gap":
            first, upto = int(words[1]), None if words[2] == "None" else int(words[2])
            if expected is not None and first != expected:
                yield f"a gap from {first} to {upto} where {expected} was next"
            expected = None if upto is None else upto + 1
            publisher = -1 if upto is None else publisher
        elif words[0] == "heard":
            whose, place = divmod(int(words[1]), BEGINS)
            if publisher not in (-1, whose):
                yield f"edition {place} of another publisher, and no word of it"
            elif expected not in (None, place):
                yield f"edition {place} where {expected} was next"
            publisher, expected, heard = whose, place + 1, True
        elif words[0] == "farewell":
            ended = True
            if heard and expected is not None and publisher == last // BEGINS and expected != last % BEGINS + 1:
                yield f"the end after {expected - 1}, where {last % BEGINS} was the last edition"
    if not ended:
        yield "it has not come to the end"
