"""Machines from a text, in either of kmc's notations; which one it is can be told from the text.

This is a part of `verify` and not of `policy`: it makes machines, which come after policies in the order of imports,
and nothing but checks is done with them.
"""

from __future__ import annotations

import re
from enum import StrEnum

from convpolicy.verify.fsm import read_fsm
from convpolicy.verify.local import LocalAutomaton
from convpolicy.verify.localtypes import read_types

__all__ = ["Notation", "notation_of", "read_machines"]


class Notation(StrEnum):
    """The notations of machines: state machines as lists of moves, and local types."""

    FSM = "fsm"
    TYPES = "types"


_READERS = {Notation.FSM: read_fsm, Notation.TYPES: read_types}
_DIRECTIVE = re.compile(r"^\s*\.(outputs|state|marking|end)\b", re.MULTILINE)


def notation_of(text: str) -> Notation:
    """Return the notation that a text is in, by what begins its lines; comments count as nothing else does."""
    return Notation.FSM if _DIRECTIVE.search(text) else Notation.TYPES


def read_machines(text: str, file: str = "<text>", *, notation: Notation | None = None) -> dict[str, LocalAutomaton]:
    """Read the machines of a text, by role; without `notation` it is guessed from the text.

    Raises:
        PolicySyntaxError: the text is not in the notation; the message shows the line, with a caret.
        IllFormed: a name is bound to nothing, or a role is there twice.
    """
    return _READERS[notation or notation_of(text)](text, file)
