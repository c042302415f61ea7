"""What a process needs to play one role of one policy: the compiled machine and the payload codecs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from convpolicy.errors import ConvPolicyError, PolicyError, PolicyMismatch, WiringError, one_of
from convpolicy.machine import CRASH, Machine, Symbol
from convpolicy.policy.model import Label, Policy, Send, Statement, statements
from convpolicy.table import Table
from convpolicy.verify.graph import graph_of
from convpolicy.verify.projection import project
from convpolicy.wire.frame import VERSION, Hello, Plays
from convpolicy.wire.payload import PayloadCodec

__all__ = ["Part", "difference"]


class Part:
    """A role of a policy, ready to be played.

    `stopping` are the numbers of the roles that may stop and for which the policy has branches; `notices` is
    whether this role has any of these. `codecs` has one codec for each label index; `sends` and `receives` map the
    labels of this role's messages; `timed` is whether any message of the policy has to be sent within a time.

    Raises:
        PolicyError: a message is declared with different payloads.
    """

    def __init__(self, policy: Policy, machine: Machine) -> None:
        self.policy, self.role = policy.name, machine.role
        self.machine, self.table = machine, Table(machine)
        self.fingerprint = self.table.fingerprint
        graph = graph_of(policy)
        carried = {symbol: _one_payload(symbol, labels) for symbol, labels in graph.labels.items()}
        self.codecs = tuple(PayloadCodec.of(carried[symbol]) for symbol in machine.symbols)
        said_here = [s for s in machine.symbols if s.label != CRASH]
        self.sends: Mapping[str, Label] = {s.label: carried[s] for s in said_here if s.sender == self.role}
        self.receives: Mapping[str, Label] = {s.label: carried[s] for s in said_here if s.receiver == self.role}
        self.stopping = frozenset(machine.roles.index(role) for role in graph.stopping)
        self.notices = any(s.label == CRASH and s.receiver == self.role for s in machine.symbols)
        self.timed = any(isinstance(s, Send) and s.within is not None for s in said(policy))
        self._text = policy.canonical
        self._wakes = [_wakes(project(graph, role)) for role in machine.roles] if self.stopping else []

    def hello(self, nonce: bytes, *, answer: bool, holds: bool = False, most: int = 0) -> Hello:
        """Return what this side says first on a connection; `holds` is whether conversations go over it.

        A bus gives this process at `most` so many at once, 0 any number.
        """
        labels = [str(symbol) for symbol in self.machine.symbols]
        plays = Plays(self.policy, self.role, self.fingerprint, self._text, labels, list(self.machine.roles), most)
        plays.stops, plays.wakes = sorted(self.stopping), self._wakes
        return Hello(VERSION, nonce, [plays], answer, holds=holds)

    def mismatch(self, hello: Hello, where: str, *, wired: bool = False) -> ConvPolicyError | None:
        """Return why the process that said `hello` cannot be talked to, or None when it can, or passes on.

        When `wired`, other roles are reached over other links.
        """
        if hello.version != VERSION:
            return WiringError(
                f"the process at {where} speaks version {hello.version} of the wire format, this one {VERSION}.\n"
                "  Install the same version of convpolicy on both sides."
            )
        if hello.bus:
            return None
        same = [plays for plays in hello.plays if plays.policy == self.policy]
        if not same:
            names = one_of(f"{plays.role} of {plays.policy}" for plays in hello.plays)
            return WiringError(
                f"the process at {where} plays {names}, and nothing of {self.policy}.\n  Check the address."
            )
        if all(plays.fingerprint != self.fingerprint for plays in same):
            return PolicyMismatch(
                self.policy, self.fingerprint.hex(), same[0].fingerprint.hex(), difference(self._text, same[0].text)
            )
        if all(plays.role == self.role for plays in same):
            return WiringError(
                f"the process at {where} plays {self.role} of {self.policy} too: there is nobody to talk to.\n"
                "  Connect to a process that plays another role."
            )
        if len(self.machine.roles) > 2 and not wired:
            return WiringError(
                f"{self.policy} has the roles {one_of(self.machine.roles, word='and')}, and over one connection only "
                f"two can talk.\n  Put a service bus between them: run `convpolicy bus`, and connect every role with "
                f"`Bus(url, broker=True)`."
            )
        return None


def _wakes(machine: Machine) -> list[int]:
    """Return the numbers of the roles whose stopping may be the beginning for this one."""
    moves = machine.enabled(machine.start)
    return sorted({machine.roles.index(move.peer) for move in moves if move.label == CRASH})


def _one_payload(symbol: Symbol, labels: tuple[Label, ...]) -> Label:
    """Return what an exchange carries; a message with several payloads can be checked, and cannot be sent."""
    label, *others = labels
    if others:
        variants = one_of(map(str, labels))
        raise PolicyError(
            f"{symbol} is declared with different payloads: {variants}.\n"
            f"  Give the messages different names, or the same fields."
        )
    return label


def said(policy: Policy) -> Iterator[Statement]:
    """Yield every statement of the policy and of the protocols that it calls."""
    for body in (policy.body, *(protocol.body for protocol in policy.protocols)):
        yield from statements(body)


def difference(ours: str, theirs: str) -> str:
    """Return the first place where two canonical forms differ, with a few words around it."""
    mine, other = ours.split(), theirs.split()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, mine, other, autojunk=False).get_opcodes():
        if tag != "equal":
            around = " ".join(mine[max(0, a - 4) : a])
            return f"after `{around}` ours has {_quote(mine[a:b])}, theirs has {_quote(other[c:d])}"
    return "they differ in their canonical forms"


def _quote(words: list[str]) -> str:
    if not words:
        return "nothing"
    return f"`{' '.join(words[:8])}{' …' if len(words) > 8 else ''}`"
