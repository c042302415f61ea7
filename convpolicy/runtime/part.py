"""What a process needs to play one role of one policy: the compiled machine and the payload codecs.

A process may also speak with those that have another version of the policy, when that was checked. It plays its own
machine with them, in the other version's words: the numbers of labels are those of the other version's table, and so
is the fingerprint. So a conversation has one version on the wire, and every role of it the machine that it has.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from convpolicy.errors import ConvPolicyError, PolicyError, PolicyMismatch, WiringError, one_of
from convpolicy.link.port import Link
from convpolicy.machine import CRASH, Direction, Machine, Symbol
from convpolicy.policy.model import Label, Policy, Send, Statement, statements
from convpolicy.policy.printing import render
from convpolicy.table import Table
from convpolicy.verify.evolution.mixing import pairing
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of
from convpolicy.wire.frame import VERSION, Hello, Plays
from convpolicy.wire.payload import PayloadCodec

__all__ = ["Part", "difference"]


class Part:
    """A role of a policy, ready to be played.

    `stopping` are the numbers of the roles that may stop and for which the policy has branches; `notices` is
    whether this role has any of these. `codecs` has one codec for each label index; `sends` and `receives` map the
    labels of this role's messages; `timed` is whether any message of the policy has a time, `timers` are the labels of
    those that this role must not send before one.
    `versions` has this part, and those of other versions of the policy that `beside` added, by fingerprint.
    `callings` are the calls of nested protocols that the role makes, `calls` and `invitations` the label indices of
    what it says for them, and of what others say to it; the latter with as whom it is invited. `invited` are the
    numbers of the roles that are played by invitation only.

    Raises:
        PolicyError: a message is declared with different payloads.
    """

    def __init__(self, policy: Policy, machine: Machine, *, words: Policy | None = None) -> None:
        self._own, self._words = policy, words or policy
        self.policy, self.role = self._words.name, machine.role
        carried = {
            symbol: labels for graph in map(graph_of, (self._words, policy)) for symbol, labels in graph.labels.items()
        }
        label = {symbol: _one_payload(symbol, carried[symbol]) for symbol in machine.symbols if symbol.label != CRASH}
        called = {said for calling in graph_of(policy).callings for said in calling.symbols}
        messages = {symbol: each for symbol, each in label.items() if symbol not in called}
        self.sends: Mapping[str, Label] = {s.label: each for s, each in messages.items() if s.sender == self.role}
        self.receives: Mapping[str, Label] = {s.label: each for s, each in messages.items() if s.receiver == self.role}
        self.machine = machine if words is None else machine.in_words_of(_table(policy, words), words.fingerprint)
        self.codecs = tuple(PayloadCodec.of(_one_payload(symbol, carried[symbol])) for symbol in self.machine.symbols)
        self.table = Table(self.machine, self.codecs)
        self.fingerprint = self.table.fingerprint
        graph = graph_of(self._words)
        self.stopping = frozenset(machine.roles.index(role) for role in graph.stopping)
        self.notices = any(s.label == CRASH and s.receiver == self.role for s in machine.symbols)
        self.timers = frozenset(symbol.label for symbol in graph_of(policy).timers if symbol.sender == self.role)
        self.timed = bool(graph_of(policy).timers) or any(isinstance(s, Send) and s.within for s in said(policy))
        self._wakes = [_wakes(project(graph, role)) for role in machine.roles] if self.stopping else []
        self.versions: dict[bytes, Part] = {self.fingerprint: self}
        self.callings = tuple(calling for calling in graph.callings if calling.caller == self.role)
        self.calls = frozenset(graph.symbols[symbol] for calling in self.callings for symbol in calling.symbols)
        self.invitations = {
            graph.symbols[symbol]: (calling.protocol, part)
            for calling in graph.callings
            for role, part, symbol in calling.invited
            if role == self.role
        }
        fresh = self._words.fresh
        invited = [] if fresh is None else [role for role in policy.roles if role not in fresh]
        self.invited = frozenset(machine.roles.index(role.name) for role in invited)

    @cached_property
    def inner(self) -> Mapping[tuple[str, str], Part]:
        """The nested protocols in which the role may come to take part, each with as whom: there and further inside."""
        found: dict[tuple[str, str], Part] = {}
        waiting: list[Part] = [self]
        for part in waiting:  # grows while it is walked
            for protocol, role in part.roles_elsewhere:
                if (protocol, role) not in found:
                    policy = part.own.called(protocol)
                    found[protocol, role] = Part(policy, project(policy, role))
                    waiting.append(found[protocol, role])
        return found

    @property
    def begins(self) -> bool:
        """Whether the role may say something before it has heard anything."""
        return any(move.direction is Direction.SEND for move in self.machine.enabled(self.machine.start))

    @cached_property
    def waits(self) -> bool:
        """Whether something that it hears can be the first of a conversation for the role."""
        return any(move.direction is Direction.RECEIVE for move in self.machine.enabled(self.machine.start))

    @property
    def own(self) -> Policy:
        """The policy."""
        return self._own

    @property
    def roles_elsewhere(self) -> Iterator[tuple[str, str]]:
        """As whom the role takes part in which nested protocols, when it calls them or is invited."""
        yield from self.invitations.values()
        for calling in self.callings:
            yield from ((calling.protocol, part) for role, part in calling.given if role == self.role)

    @cached_property
    def text(self) -> str:
        """The policy in whose words it is played, in Scribble."""
        return render(self._words)

    def beside(self, others: Iterable[Policy]) -> Part:
        """Return this part, which also speaks with those that have one of the other versions, the first one first.

        Whether that goes well has to be checked before: `verify.evolution.compatibility.require_fit`.
        """
        part = Part(self._own, self.machine)
        for other in others:
            part.versions.setdefault(bytes.fromhex(other.fingerprint), Part(self._own, self.machine, words=other))
        return part

    def alone(self, link: object) -> Part:
        """Return this part for a link that carries one version only. Raises WiringError when it has several."""
        if len(self.versions) > 1:
            raise WiringError(f"{link!r} carries one version of {self.policy}.\n  Leave out `also`, or use a Bus.")
        if self._own.nested or self._own.fresh is not None:
            raise WiringError(
                f"{link!r} carries no conversations that others start, as those of {self.policy}.\n  Use a Bus."
            )
        return self

    def ensure_found(self, link: Link) -> None:
        """Raise WiringError when nobody could be found over this link for the new roles of nested protocols."""
        new = [(each.name, role) for each in (self._own, *self._own.nested) for role in each.fresh or ()]
        if new and not link.broker:
            protocol, role = new[0]
            raise WiringError(
                f"over {link!r} nobody can be found for {role}, a new role of {protocol}.\n"
                "  Put a service bus between the roles: run `convpolicy bus`, and connect every role with "
                "`Bus(url, broker=True)`."
            )

    def version_for(self, hello: Hello | None) -> Part:
        """Return the version in which to begin a conversation with whoever said `hello`: ours where that is known."""
        if len(self.versions) == 1:
            return self
        known = {plays.fingerprint for plays in hello.plays} if hello is not None else set[bytes]()
        return next((part for fingerprint, part in self.versions.items() if fingerprint in known), self)

    def hello(self, nonce: bytes, *, answer: bool, holds: bool = False, most: int = 0) -> Hello:
        """Return what this side says first on a connection; `holds` is whether conversations go over it.

        A bus gives this process at `most` so many at once, 0 any number.
        """
        plays = [part.plays(most) for part in self.versions.values()]
        plays += [part.plays(most) for part in self.inner.values()]
        return Hello(VERSION, nonce, plays, answer, holds=holds)

    def plays(self, most: int = 0) -> Plays:
        """Return what this side says of one version; `most` as in `hello`."""
        symbols = self.machine.symbols if self._words is self._own else graph_of(self._words).symbols
        labels = [str(symbol) for symbol in symbols]
        roles = list(self.machine.roles)
        plays = Plays(self.policy, self.role, self.fingerprint, self._words.canonical, labels, roles, most)
        plays.stops, plays.wakes, plays.invited = sorted(self.stopping), self._wakes, sorted(self.invited)
        return plays

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
        names = {part.policy for part in self.versions.values()}
        same = [plays for plays in hello.plays if plays.policy in names]
        if not same:
            others = one_of(f"{plays.role} of {plays.policy}" for plays in hello.plays)
            return WiringError(
                f"the process at {where} plays {others}, and nothing of {self.policy}.\n  Check the address."
            )
        if all(plays.fingerprint not in self.versions for plays in same):
            return PolicyMismatch(
                self.policy,
                self.fingerprint.hex(),
                same[0].fingerprint.hex(),
                difference(self._words.canonical, same[0].text),
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


def _table(ours: Policy, theirs: Policy) -> tuple[Symbol, ...]:
    """Return our exchanges in the places that the other version's table has for them, then those that only we have.

    What only the other version has stays in its place: it is never sent, and refused when it comes.
    """
    pairs = pairing(graph_of(theirs), graph_of(ours))
    paired = set(pairs.values())
    words = [pairs.get(symbol, symbol) for symbol in graph_of(theirs).symbols]
    return (*words, *(symbol for symbol in graph_of(ours).symbols if symbol not in paired))


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
