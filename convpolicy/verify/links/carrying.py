"""Can these links carry this policy? Links come in as facts (`Carrier`), one for each ordered pair of roles.

Eight things can be in the way. Two roles talk, and no link goes from one to the other. They talk over a link for each
direction, and a service bus, which finds a player for itself, is at one of them. A role of which any player may
take the next message (push-pull) has to remember the one before. Any player takes the one message, and another is for
one of them, nobody knows which. It talks to a role that needs its messages in order: several players are never in
order with each other. A role whose players may come late (publish-subscribe) has no place at which to enter. There
are two trees, and no place that is the same in both. Two roles that talk both have many players, and neither can
listen for the other.

Order is a question only where several players meet. Between two players a conversation numbers its messages and
puts them right, whatever the link does; so a link that mixes them up is fine there.

The policy is what one player of each role sees: with several, each has a conversation of its own with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from convpolicy.errors import Position, one_of
from convpolicy.machine import CRASH, Direction, Machine, Move, State, Symbol
from convpolicy.policy.model import Policy
from convpolicy.policy.nearest import did_you_mean
from convpolicy.verify.coherence.blocks import hurried
from convpolicy.verify.coherence.bounds import bounds
from convpolicy.verify.coherence.overtaking import Channel, channel_of
from convpolicy.verify.evidence.findings import Finding, Fix, Severity
from convpolicy.verify.evidence.report import Report
from convpolicy.verify.links.carrier import Carrier, Players
from convpolicy.verify.roles.joining import join_points
from convpolicy.verify.roles.projection import project
from convpolicy.verify.roles.rounds import inside, loops
from convpolicy.verify.runs.graph import Graph, graph_of

__all__ = ["WIRING", "Carriers", "carried"]

WIRING = "wiring"  # the property, as findings name it
COUNTED = 1_000  # states of one machine; a larger one is not searched, and refused where it would have to be

Carriers = Mapping[tuple[str, str], Carrier]


def carried(report: Report, carriers: Carriers) -> Report:
    """Return the report with what is in the way of these links; it is false when something is.

    `carriers` maps (sender, receiver) to what carries its messages.
    """
    wired = _Wired(report.policy, carriers)
    findings = [*wired.strangers(), *wired.missing(), *wired.parted(), *wired.unkept(), *wired.unstarted()]
    if report:  # what machines do says nothing of a policy that cannot be followed
        findings += [*wired.forgetful(), *wired.torn(), *wired.mixed_up(), *wired.shut_out()]
        findings += [*wired.uprooted(), *wired.crowded(), *wired.unnoticed(), *wired.interrupted()]
    return replace(report, findings=(*report.findings, *findings))


class _Wired:
    """A policy and its links."""

    def __init__(self, policy: Policy, carriers: Carriers) -> None:
        self._policy, self._carriers = policy, carriers
        self._graph = graph_of(policy)
        said = _places(hurried(self._graph) if self._graph.blocks else self._graph)
        self._places = {symbol: at for symbol, at in said.items() if symbol.sender != symbol.receiver}

    def _finding(self, symbol: Symbol, message: str, detail: str, fix: str) -> Finding:
        at = self._places[symbol]
        return Finding(WIRING, Severity.ERROR, symbol.receiver, at, message, detail, None, Fix(fix, self._policy))

    # ------------------------------------------------------------------------------------------ who is wired

    def strangers(self) -> Iterator[Finding]:
        """Yield the roles that are wired and that the policy does not have."""
        roles = self._graph.roles
        for role in dict.fromkeys(role for pair in self._carriers for role in pair):
            if role not in roles:
                message = f"the wiring names {role}, which is no role of {self._policy.name}"
                detail = f"{did_you_mean(role, roles)}{self._policy.name} has {one_of(roles, word='and')}"
                fix = Fix(f"name one of the roles in place of {role}", self._policy)
                yield Finding(WIRING, Severity.ERROR, None, self._policy.at, message, detail, None, fix)

    def missing(self) -> Iterator[Finding]:
        """Yield the pairs of roles that talk without a link, once each."""
        spoken: dict[tuple[str, str], list[Symbol]] = {}
        for symbol in self._places:
            spoken.setdefault((symbol.sender, symbol.receiver), []).append(symbol)
        for pair, symbols in spoken.items():
            if pair not in self._carriers:
                yield self._unwired(symbols)

    def _unwired(self, symbols: list[Symbol]) -> Finding:
        first = symbols[0]
        sender, receiver = first.sender, first.receiver
        names = one_of(dict.fromkeys(symbol.label for symbol in symbols), word="and")
        back = self._carriers.get((receiver, sender))
        fix = f'add a link for ({sender}, {receiver}), such as Bus("tcp://127.0.0.1:5555")'
        if back is None or back.answers:
            return self._finding(
                first, f"no link carries {names} from {sender} to {receiver}", "nothing is wired this way", fix
            )
        message = f"{names} from {sender} to {receiver} would go against a one-way link"
        detail = f"{back.link} carries what {receiver} says to {sender}, and nothing back"
        return self._finding(first, message, detail, fix)

    def parted(self) -> Iterator[Finding]:
        """Yield the pairs of players that have a link for each direction, of which a bus gives one to anybody."""
        said = {(symbol.sender, symbol.receiver): symbol for symbol in reversed(self._places)}
        for (sender, receiver), symbol in reversed(said.items()):
            there, back = (self._carriers.get(pair) for pair in ((sender, receiver), (receiver, sender)))
            if there is None or back is None or (receiver, sender) not in said or sender > receiver:
                continue
            one = there.players is back.players is Players.ONE and there.answers and back.answers
            if one and there.link != back.link and not (there.direct and back.direct):
                message = f"{sender} and {receiver} may not meet: what they say to each other goes over two links"
                detail = f"a service bus gives each conversation to a player, and {back.link} does not know to which"
                fix = f"leave out one of ({sender}, {receiver}) and ({receiver}, {sender}): either link carries answers"
                yield self._finding(symbol, message, detail, fix)

    def unnoticed(self) -> Iterator[Finding]:
        """Yield the first crash that its receiver would not learn of: only one link between all roles tells it."""
        links = {carrier.link for carrier in self._carriers.values()}
        bound = all(carrier.players is Players.ONE for carrier in self._carriers.values())
        crashes = (symbol for symbol in self._places if symbol.label == CRASH)
        for symbol in islice(crashes, 0 if bound and len(links) == 1 else 1):
            message = f"{symbol.receiver} may not learn that {symbol.sender} has stopped"
            detail = "each link knows only who is gone from its own ends, and the crash branches are everybody's"
            yield self._finding(symbol, message, detail, "carry the whole policy over one Bus")

    def interrupted(self) -> Iterator[Finding]:
        """Yield that blocks may be interrupted, and what is late would have to be dropped on links of several kinds."""
        links = {carrier.link for carrier in self._carriers.values()}
        bound = all(carrier.players is Players.ONE for carrier in self._carriers.values())
        if not self._graph.blocks or (bound and len(links) == 1):
            return
        symbol = next(iter(self._graph.blocks.values())).throws[0].symbols[0]
        message = f"{symbol.label} may interrupt {self._policy.name}, and only a Bus carries that"
        detail = "whoever is interrupted drops what comes of the block after it, which other links hand on"
        yield self._finding(symbol, message, detail, "carry the whole policy over one Bus")

    def unkept(self) -> Iterator[Finding]:
        """Yield that a policy with conditions on values forks into conversations with many readers."""
        forking = [carrier for carrier in self._carriers.values() if carrier.players is Players.EACH]
        links = {carrier.link for carrier in self._carriers.values()}
        if not (self._graph.conditioned and forking and len(links) > 1):
            return
        symbol = next(symbol for symbol in self._places if self._reaches_each(symbol))
        message = f"{self._policy.name} has conditions on values, and its conversation forks"
        detail = (
            f"{forking[0].link} says {symbol.label} to many, whose answers go another way; values are not kept for each"
        )
        yield self._finding(symbol, message, detail, "leave the conditions out, or talk to each over a Bus alone")

    def unstarted(self) -> Iterator[Finding]:
        """Yield that the policy starts conversations of its own, which go where this one goes, over one link."""
        links = list(dict.fromkeys(carrier.link for carrier in self._carriers.values()))
        fresh = next(((each.name, role.name) for each in self._policy.nested for role in each.fresh or ()), None)
        bound = all(carrier.players is Players.ONE for carrier in self._carriers.values())
        if self._policy.nested and (len(links) > 1 or not bound):
            message = f"{self._policy.name} starts conversations of its own, and several links carry it"
            detail = f"{one_of(links, word='and')} know only their own ends"
            fix = "carry the whole policy over one Bus"
        elif fresh and any(carrier.direct for carrier in self._carriers.values()):
            message = f"nobody can be found for {fresh[1]}, a new role of {fresh[0]}"
            detail = f"{links[0]} goes from one end to the other, without a service bus"
            fix = "put a service bus between the roles: Bus(url, broker=True)"
        else:
            return
        yield Finding(WIRING, Severity.ERROR, None, self._policy.at, message, detail, None, Fix(fix, self._policy))

    # --------------------------------------------------------------------------------------- any of many players

    def forgetful(self) -> Iterator[Finding]:
        """Yield the roles of which any player may take a message, and only another player knows what came before."""
        for role in self._graph.roles:
            symbol = self._remembers(role) if self._shared(role) else None
            if symbol is not None:
                carrier = self._carriers[symbol.sender, role]
                message = f"{role} must remember what came before {symbol.label}"
                order = "" if carrier.ordered else " and keeps no order"
                detail = f"{carrier.link} gives it to any of the players{order}: another one knows what came before"
                fix = (
                    f"carry {symbol.sender} to {role} over a Bus, which binds one player for the conversation, or let "
                    f"{symbol.sender} say all that {role} needs in one message"
                )
                yield self._finding(symbol, message, detail, fix)

    def torn(self) -> Iterator[Finding]:
        """Yield the roles of which any player takes one message, and the one that is bound hears another.

        Nobody knows which player that is: a message that nobody has dealt with yet is given to another one.
        """
        for role in self._graph.roles:
            if self._shared(role):
                taken = next(symbol for symbol in self._places if self._gives_to_any(symbol, role))
                for told in self._told_apart(role):
                    shared, bound = self._carriers[taken.sender, role], self._carriers[told.sender, role]
                    message = f"{told.label} may reach another player of {role} than the one who took {taken.label}"
                    detail = f"{shared.link} gives {taken.label} to any player, and {bound.link} does not know to which"
                    fix = (
                        f"carry {taken.sender} to {role} over a Bus too, or let {taken.sender} say all that {role} "
                        f"needs in {taken.label}"
                    )
                    yield self._finding(told, message, detail, fix)

    def _told_apart(self, role: str) -> Iterator[Symbol]:
        """Yield the first message of each role that speaks to one player of this role."""
        first = {symbol.sender: symbol for symbol in reversed(self._places) if symbol.receiver == role}
        for symbol in reversed(first.values()):
            carrier = self._carriers.get((symbol.sender, role))
            if carrier is not None and carrier.players is not Players.ANY:  # without a link it is refused already
                yield symbol

    def _shared(self, role: str) -> bool:
        return any(
            receiver == role and carrier.players is Players.ANY for (_, receiver), carrier in self._carriers.items()
        )

    def _remembers(self, role: str) -> Symbol | None:
        """Return a message that any player may take although it does not begin a conversation or a round of one.

        Machines are minimal, so a round that begins as the conversation does is back in the first state.
        """
        machine = project(self._graph, role)
        if not machine.within(COUNTED):
            return next(symbol for symbol in self._places if self._gives_to_any(symbol, role))
        for state in machine.states():
            for move in machine.enabled(state):
                symbol = _received(role, move)
                received = move.direction is Direction.RECEIVE
                if received and state != machine.start and self._gives_to_any(symbol, role):
                    return symbol
        return None

    def _gives_to_any(self, symbol: Symbol, role: str) -> bool:
        carrier = self._carriers.get((symbol.sender, symbol.receiver))
        return symbol.receiver == role and carrier is not None and carrier.players is Players.ANY

    # ----------------------------------------------------------------------------------------- order among them

    def mixed_up(self) -> Iterator[Finding]:
        """Yield the channels from a role with many players whose receiver needs their messages in order.

        Where never two of them are under way at once, they are in order whatever their way.
        """
        at_once = bounds(self._graph)
        for channel in dict.fromkeys(map(channel_of, self._places)):
            if not self._shared(channel.sender) or self._shared(channel.receiver) or at_once[channel] == 1:
                continue
            pair = self._needs_order(channel)
            if pair is not None:
                yield self._overtaken(channel, *pair)

    def _overtaken(self, channel: Channel, first: str, second: str) -> Finding:
        message = f"{second} may overtake {first} on the way from {channel.sender} to {channel.receiver}"
        detail = f"{channel.sender} has several players, each on its own, and {channel.receiver} needs {first} first"
        fix = (
            f"let {channel.receiver} know from another role, over a Bus, what {second} tells it, or let one player of "
            f"{channel.sender} do it all: carry what it receives over a Bus"
        )
        symbol = Symbol(channel.sender, channel.receiver, second, channel.lane)
        return self._finding(symbol, message, detail, fix)

    def _needs_order(self, channel: Channel) -> tuple[str, str] | None:
        """Return two messages of a channel, one after the other, that its receiver cannot take the other way round."""
        machine = project(self._graph, channel.receiver)
        if not machine.within(COUNTED):
            labels = [symbol.label for symbol in self._places if channel_of(symbol) == channel]
            return labels[0], labels[-1]
        for state in machine.states():
            for move, after in machine.row(state).moves.items():
                if (move.direction, move.peer, move.lane) == (Direction.RECEIVE, channel.sender, channel.lane):
                    for second in sorted(machine.may_receive_next(after, channel.sender, channel.lane)):
                        if not _either_way(machine, state, move, second):
                            return move.label, second
        return None

    # ---------------------------------------------------------------------------------------------- who is late

    def shut_out(self) -> Iterator[Finding]:
        """Yield the roles whose players may come late, and that have no place at which to enter."""
        late = {symbol.receiver: symbol for symbol in reversed(self._places) if self._reaches_each(symbol)}
        for role, symbol in late.items():
            if not self._can_enter(role):
                carrier = self._carriers[symbol.sender, role]
                message = f"{role} has no join point: one who comes late cannot enter"
                detail = f"{carrier.link} is heard from any moment on, and nothing that it says comes again"
                fix = (
                    f"put what {symbol.sender} says to {role} into `rec … {{ … continue …; }}`, so that each round can "
                    f"be followed without the one before, or carry it over a Bus"
                )
                yield self._finding(symbol, message, detail, fix)

    def _reaches_each(self, symbol: Symbol) -> bool:
        carrier = self._carriers.get((symbol.sender, symbol.receiver))
        return carrier is not None and carrier.players is Players.EACH

    def _can_enter(self, role: str) -> bool:
        """Return whether a join point lies on a loop on which the role hears what reaches each player."""
        machine = project(self._graph, role)
        heads = set(join_points(machine)) if machine.within(COUNTED) else set[State]()
        rounds = (together for together in loops(machine) if heads & together) if heads else ()
        return any(self._heard_by_each(role, move) for together in rounds for move in inside(machine, together))

    def _heard_by_each(self, role: str, move: Move) -> bool:
        return move.direction is Direction.RECEIVE and self._reaches_each(_received(role, move))

    def uprooted(self) -> Iterator[Finding]:
        """Yield the first message of a second tree: where to enter is what one root says of its own."""
        reaching = [symbol for symbol in self._places if self._reaches_each(symbol)]
        second = next((symbol for symbol in reaching if symbol.sender != reaching[0].sender), None)
        if second is not None:
            first, other = reaching[0].sender, second.sender
            message = f"{second.label} would come over a second tree, that of {other}"
            detail = (
                f"one who comes late enters where the tree of {first} comes to a join point, and nobody knows how far "
                f"the other tree is there"
            )
            fix = f"carry what {other} says to {second.receiver} over a Bus, or let {first} pass it on"
            yield self._finding(second, message, detail, fix)

    # ------------------------------------------------------------------------------------- many on both sides

    def crowded(self) -> Iterator[Finding]:
        """Yield the first message between two roles that both have many players and no service bus between them."""
        many = {receiver for (_, receiver), c in self._carriers.items() if c.players is not Players.ONE}
        met: set[frozenset[str]] = set()
        for symbol in self._places:
            ends = frozenset((symbol.sender, symbol.receiver))
            carrier = self._carriers.get((symbol.sender, symbol.receiver))
            if carrier is not None and carrier.direct and ends <= many and ends not in met:
                met.add(ends)
                message = f"{symbol.sender} and {symbol.receiver} both have many players, and none can listen for all"
                detail = f"{carrier.link} needs one that listens, where {symbol.label} is said"
                fix = (
                    f"put a service bus between {symbol.sender} and {symbol.receiver}: Bus(url, broker=True), also as "
                    f"an address of a Pipeline"
                )
                yield self._finding(symbol, message, detail, fix)


def _received(role: str, move: Move) -> Symbol:
    return Symbol(move.peer, role, move.label, move.lane)


def _either_way(machine: Machine, state: State, move: Move, second: str) -> bool:
    """Return whether `second` may come in place of `move`'s message, and that one after it.

    A message that is early is kept until its turn; one that could not come first is a violation.
    """
    if second not in machine.may_receive_next(state, move.peer, move.lane):
        return False
    then = machine.row(state).moves.get(move._replace(label=second))
    return then is None or move.label in machine.may_receive_next(then, move.peer, move.lane)


def _places(graph: Graph) -> dict[Symbol, Position | None]:
    """Return every exchange and where it was written first, in the order of the text."""
    places: dict[Symbol, Position | None] = {}
    seen: set[int] = set()
    todo = [graph.start]
    while todo:
        position = todo.pop()
        if position not in seen:
            seen.add(position)
            fork = graph.forks.get(position)
            after = [*(fork.branches if fork else ()), *([fork.target] if fork else ())]
            for exchange in graph.exchanges.get(position, ()):
                places.setdefault(exchange.symbol, exchange.at)
                after.append(exchange.target)
            todo += reversed([*graph.silent.get(position, ()), *after])
    return places
