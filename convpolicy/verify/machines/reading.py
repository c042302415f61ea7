"""Machines from a text, in either of kmc's notations; which one it is can be told from the text.

This is a part of `verify` and not of `policy`: it makes machines, which come after policies in the order of imports,
and nothing but checks is done with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from convpolicy.errors import PolicyError, one_of
from convpolicy.machine import Machine, Move
from convpolicy.verify.machines.fsm import read_fsm
from convpolicy.verify.machines.local import LocalAutomaton
from convpolicy.verify.machines.localtypes import read_types

__all__ = ["Notation", "notation_of", "read_machine", "read_machines"]


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


def read_machine(text: str, roles: Sequence[str], role: str, file: str = "<text>") -> Machine:
    """Read the machine of one role of a policy with these roles, to ask whether it follows the policy.

    In the notation of state machines the machines have numbers: they are the roles' places in the policy. Payloads are
    the policy's, and are not looked at here.

    Raises:
        PolicySyntaxError, IllFormed: as `read_machines`; also a machine that may go two ways with one message.
        PolicyError: the text has no machine of that role, or a peer has a number that no role has.
    """
    found = {_name(number, roles): automaton for number, automaton in read_machines(text, file).items()}
    if role not in found:
        raise PolicyError(f"{file} has no machine of {role}\n  It has those of {one_of(found, word='and')}.")
    automaton = found[role]
    edges = tuple(edge._replace(move=_named(edge.move, roles)) for edge in automaton.edges)
    return replace(automaton, role=role, edges=edges).machine()


def _named(move: Move, roles: Sequence[str]) -> Move:
    return move._replace(peer=_name(move.peer, roles), label=move.label.partition("<")[0])


def _name(written: str, roles: Sequence[str]) -> str:
    if not written.isdecimal() or written in roles:
        return written
    if int(written) >= len(roles):
        listed = ", ".join(f"{number} is {name}" for number, name in enumerate(roles))
        raise PolicyError(
            f"there is no role number {written}\n  Roles are numbered as the policy names them: {listed}."
        )
    return roles[int(written)]
