"""An engine with a journal: nothing leaves before what it tells of is durable, and what was open goes on after a crash.

A turn is one transaction: what has come, how far the machines have moved, what was said, what has ended, and what the
application wrote. It is committed when everything in the turn is done, before anything is handed to the transport; so
no frame goes out in the middle of one. What is said outside of a turn is in the next one.

Processes are known by their journals. One that is started again with its journal is the one that it was: at the other
ends nothing has ended meanwhile.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

from convpolicy.conversation import Conversation, Envelope
from convpolicy.errors import (
    ConversationError,
    Expired,
    Forked,
    InDoubt,
    JournalError,
    PayloadError,
    PeerLost,
    RemoteViolation,
    Unplayable,
)
from convpolicy.journal.port import Account, Ending, Kind, Ledger, Opening, Record
from convpolicy.journal.recorded import RecordedConversation, Recorder
from convpolicy.journal.replay import Replay, new, replay
from convpolicy.journal.rerun import Rerun
from convpolicy.link.port import Port
from convpolicy.runtime.durable.tombs import LastingTombs
from convpolicy.runtime.endings import ended, error_of
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.part import Part
from convpolicy.runtime.peers.processes import Peer, rendezvous
from convpolicy.runtime.swift import Notes
from convpolicy.table import Step, Table
from convpolicy.wire.frame import Acknowledged, Ended, Hello, Item, Superseded

__all__ = ["DurableEngine"]

_log = logging.getLogger(__name__)

COMPACT_EVERY, COMPACTED = 10.0, 500  # seconds, and conversations dropped at once

# What stands before the identity in the route of a conversation.
_JOURNAL, _PROCESS, _BUS = b"j", b"p", b"b"


class DurableEngine(Engine):
    """An engine whose conversations are in `ledger`. The rest is as for `Engine`.

    `forked` is called when a peer knows of a later state of the journal than it has.
    """

    _notes = Notes(RecordedConversation.said, RecordedConversation.took)

    def __init__(self, ledger: Ledger, part: Part, port: Port, *, patience: float, **settings: Any) -> None:
        self.ledger, self._recorder = ledger, Recorder(ledger)
        self.naming = ""  # what the next conversation that is opened here is called
        self.forked: Callable[[Forked], None] = lambda _: None
        super().__init__(part, port, **settings)
        self.peers.at_once, self.peers.patience = sys.maxsize, patience
        pair = len(part.table.numbers) == 2
        self._tombs = LastingTombs(ledger, pair=pair, interruptible=bool(part.machine.blocks))
        self._next_compacting = self.now
        for version in part.versions.values():
            ledger.describe(version.fingerprint, version.text)

    # -------------------------------------------------------------------------------------------- the turn

    def commit(self) -> None:
        """Make durable what is about to be told. Raises JournalFailed: then nothing may be sent any more."""
        self._recorder.took = None
        if self.ledger.dirty:
            self.ledger.commit()

    def _greeting(self, peer: Peer, answer: bool) -> Hello:
        hello = super()._greeting(peer, answer)
        hello.journal, hello.epoch = self.ledger.id, self.ledger.epoch
        return hello

    def _control(self, peer: Peer, item: Item, now: float) -> None:
        if isinstance(item, Superseded):
            self._superseded(peer, item)
        else:
            super()._control(peer, item, now)

    def _look(self, now: float) -> None:
        super()._look(now)
        if now >= self._next_compacting:
            self._next_compacting = now + COMPACT_EVERY
            self.ledger.compact(COMPACTED)

    # ---------------------------------------------------------------------------------------- conversations

    def _new(self, id: bytes, part: Part) -> Conversation:  # noqa: A002
        return self._made(part.table, id, self.now)

    def _made(self, table: Table, id: bytes, now: float) -> RecordedConversation:  # noqa: A002
        return new(table, id, now)

    def _adopt(self, conversation: Conversation, peer: Peer) -> None:
        recorded = _recorded(conversation)
        if recorded.recorder is None:
            recorded.route = _route(peer)
            machine = conversation.table.machine
            fingerprint = conversation.table.fingerprint
            opening = Opening(
                conversation.id, machine.policy, fingerprint, conversation.role, recorded.route, self.naming
            )
            recorded.number = self.ledger.begin(opening)
            recorded.recorder = self._recorder
        super()._adopt(conversation, peer)

    def send(self, conversation: Conversation, step: Step, message: object) -> None:
        """Send a message. See `Engine.send`."""
        recorded = _recorded(conversation)
        recorded.also = False
        super().send(conversation, step, message)
        recorded.cause = 0

    def _envelope(self, peer: Peer, conversation: Conversation, envelope: Envelope, now: float) -> None:
        self._recorder.arriving = envelope.payload
        if not self._is_ahead(conversation, envelope.sender, peer, envelope.ack):
            super()._envelope(peer, conversation, envelope, now)

    def _acknowledged(self, peer: Peer, item: Acknowledged, now: float) -> None:
        conversation = self.conversations.get(item.conversation)
        if conversation is None:
            self._remind_of_past(peer, item)
            super()._acknowledged(peer, item, now)
        elif not self._is_ahead(conversation, item.sender, peer, item.upto, item.confirmed):
            self._remind(conversation, peer, item)
            peering = conversation.peers[item.sender] if item.sender in self._numbers else None
            before = peering.acked if peering is not None else 0
            super()._acknowledged(peer, item, now)
            if peering is not None and not before and peering.acked and not peering.received:
                _recorded(conversation).confirmed_upto(item.sender)  # it knows the conversation, and has said nothing

    def _is_ahead(self, conversation: Conversation, sender: int, peer: Peer, ack: int, confirmed: int = 0) -> bool:
        """Return whether a role has seen more than was ever said or heard here; the conversation has then failed."""
        if not self._heard_from(conversation, sender, peer):
            return False
        peering = conversation.peers[sender]
        if ack > peering.sent:
            seen = f"it has message {ack} of {conversation.role}, which has said {peering.sent}"
        elif confirmed > peering.received:
            seen = f"{conversation.role} had acknowledged its message {confirmed}, and knows of {peering.received}"
        else:
            return False
        self.fail(conversation, Forked(self._table.roles[sender], seen), tell=True)
        return True

    def _is_asked(self, conversation: Conversation, role: int) -> bool:
        """Return whether a role has shown that it knows a conversation. One that is through with it is asked as well:
        what it had said last may not be in this journal any more.
        """
        peering = conversation.peers[role]
        return peering.acked > 0 or peering.received > 0

    def _remind(self, conversation: Conversation, peer: Peer, item: Acknowledged) -> None:
        """Say how much a role had acknowledged, when it says less now: a frame came late, or its journal was restored.

        From a restored journal nothing else may ever come: each side would wait for the other.
        """
        if item.room or not self._heard_from(conversation, item.sender, peer):
            return
        peering = conversation.peers[item.sender]
        if item.upto < peering.acked:
            self._confirm(peer, item, peering.received, peering.acked)

    def _remind_of_past(self, peer: Peer, item: Acknowledged) -> None:
        """The same of a conversation that has ended well: then it had acknowledged everything."""
        ending = None if item.room else self.ledger.past(item.conversation)
        if ending is not None and ending.kind == "finished" and 0 <= item.sender < len(ending.sent):
            sent = ending.sent[item.sender]
            if item.upto < sent:
                self._confirm(peer, item, ending.received[item.sender], sent)

    def _confirm(self, peer: Peer, item: Acknowledged, received: int, confirmed: int) -> None:
        said = Acknowledged(item.conversation, self._role, item.sender, received, confirmed=confirmed)
        self.peers.say(peer, said)

    def refuse(
        self,
        conversation: Conversation,
        sender: int,
        envelope: Envelope | None,
        problem: RemoteViolation | PayloadError,
    ) -> None:
        """Tell a role that its message was refused. See `Engine.refuse`."""
        kept = problem.seq if isinstance(problem, RemoteViolation) else 0
        seq = kept or (0 if envelope is None else envelope.seq)
        label = 0 if envelope is None else envelope.label
        arrived = b"" if envelope is None else bytes(self._recorder.arriving)
        _recorded(conversation).note(Record(Kind.REFUSED, sender, seq, label, 0, arrived))
        super().refuse(conversation, sender, envelope, problem)

    def remember(self, conversation: Conversation, role: int, to: bytes) -> None:
        """Keep which process plays a role, for whenever a service bus has forgotten it."""
        _recorded(conversation).note(Record(Kind.GIVEN, role, body=to))

    def remembered(self, id: bytes) -> dict[int, bytes]:  # noqa: A002
        """Return what was kept of who plays in a conversation that is over."""
        return self.ledger.given(id)

    # ---------------------------------------------------------------------------------------------- endings

    def fail(self, conversation: Conversation, error: ConversationError, *, tell: bool) -> None:
        """End a conversation early. See `Engine.fail`. The error says what may or may not have arrived."""
        known = conversation.id in self.conversations
        unsure = isinstance(error, PeerLost | Expired) and not isinstance(error, Unplayable)
        doubt = list(_doubt(conversation)) if unsure else []
        if known:
            item = ended(conversation, error)
            received = [peering.received for peering in conversation.peers]
            ending = Ending(item.kind, item.facts, received, getattr(error, "by", conversation.role), doubt)
            self.ledger.end(_recorded(conversation).number, ending)
        if doubt:
            error = _in_doubt(doubt, error)
        super().fail(conversation, error, tell=tell)

    def finish(self, conversation: Conversation) -> None:
        """Put away a conversation. See `Engine.finish`."""
        if conversation.id in self.conversations:
            received = [peering.received for peering in conversation.peers]
            sent = [peering.sent for peering in conversation.peers]
            self.ledger.end(_recorded(conversation).number, Ending("finished", [], received, sent=sent))
        super().finish(conversation)

    # ------------------------------------------------------------------------------------------------ peers

    def met(self, peer: Peer) -> None:
        """A process said Hello for the first time to this one; conversations of before may be with it."""
        hello = peer.hello
        for conversation in tuple(peer.conversations):
            route = _recorded(conversation).route
            if hello is not None and not hello.bus and route[:1] != _BUS and route != _route(peer):
                self.fail(
                    conversation, PeerLost(peer.role, "another process is there, without its journal"), tell=False
                )
        if peer.conversations:
            self.back(peer)
        super().met(peer)

    def lost(self, peer: Peer, why: str) -> None:
        """A process is gone for good. A service bus is not: what goes over it waits until there is one again."""
        if peer.hello is None or not peer.hello.bus:
            super().lost(peer, why)

    def _superseded(self, peer: Peer, item: Superseded) -> None:
        seen = f"it knows this journal as opened for the {item.epoch}th time, and this is the {self.ledger.epoch}th"
        who = peer.role if peer.hello is not None else "the other side"
        for conversation in tuple(peer.conversations):
            self.fail(conversation, Forked(who, seen), tell=False)
        _log.error("%s", Forked(who, seen))
        self.forked(Forked(who, seen))

    # ----------------------------------------------------------------------------------------------- resuming

    def resume(self) -> Iterator[Replay]:
        """Put every unfinished conversation back, and yield it: whoever takes it sets its `owner` before the next one.

        What was not acknowledged is sent again when whom it goes through says Hello: `met`.

        Raises:
            JournalError: one is of a version of the policy that is not played here, or no run of the machine.
        """
        self.tick()
        self.peers.meet(self.now)
        for account in self.ledger.unfinished(self.part.policy, self.part.role):
            replayed = self._replayed(account)
            conversation = replayed.conversation
            conversation.recorder = self._recorder
            self._adopt(conversation, self._way_back(account))
            for role, to in replayed.fellows.items():
                self.fellows.restore(conversation, role, to)
            yield replayed
            self.settle(conversation)

    def _replayed(self, account: Account) -> Replay:
        part = self._part_of(account)
        return replay(account, part.table, part.codecs, at=self._at, make=self._made)

    def rerun(self, account: Account, cause: int = 0) -> Rerun:
        """Return what a script, or the handler of a message, has done so far in a conversation."""
        part = self._part_of(account)
        return Rerun(account, part.table, part.codecs, at=self._at, cause=cause)

    def finished(self, account: Account) -> RecordedConversation:
        """Return a conversation that is over, as it ended; it is on no engine."""
        conversation = self._replayed(account).conversation
        conversation.recorder = self._recorder  # its program may take a step yet
        if account.ending is not None and account.ending.kind != "finished":
            conversation.error = _error_in(account.opening.id, account.ending)
        return conversation

    def _part_of(self, account: Account) -> Part:
        part = self._versions.get(account.opening.fingerprint)
        if part is None:
            raise JournalError(
                f"conversation {account.opening.id.hex()} in the journal is of another version of {self.part.policy}: "
                f"{account.opening.fingerprint.hex()[:12]}, and this is {self.part.fingerprint.hex()[:12]}.\n"
                f"  Play that one, too (`also=[old]`), or close the conversation: `convpolicy journal close`."
            )
        return part

    def _at(self, time: float) -> float:
        """Turn a time of the journal into that of the clock. One that lies ahead is taken for now."""
        return self.now - max(0.0, self.ledger.wall() - time)

    def _way_back(self, account: Account) -> Peer:
        route = account.opening.route
        servers = self.peers.servers
        if not servers:
            return self.peers.expect(route[1:], self.now, durable=route[:1] == _JOURNAL)
        same = [peer for peer in servers if route[:1] == _BUS and peer.address == route[1:]]
        return same[0] if same else rendezvous(account.opening.id, servers)


def _recorded(conversation: Conversation) -> RecordedConversation:
    return cast("RecordedConversation", conversation)


def _route(peer: Peer) -> bytes:
    """Return how a process is found again: by its journal, by its nonce while it lives, or a bus by its address."""
    hello = peer.hello
    if hello is None or hello.bus:
        return _BUS + peer.address
    return (_JOURNAL if hello.journal else _PROCESS) + hello.identity


def _in_doubt(doubt: list[tuple[str, int, str]], error: ConversationError) -> InDoubt:
    what = tuple(f"{label} to {role} (message {seq})" for role, seq, label in doubt)
    return InDoubt(what, str(error).partition("\n")[0], error)


def _error_in(id: bytes, ending: Ending) -> ConversationError:  # noqa: A002
    """Return the error that a conversation ended with."""
    error = error_of(Ended(id, 0, ending.kind, ending.facts), ending.by)
    return _in_doubt(ending.doubt, error) if ending.doubt else error


def _doubt(conversation: Conversation) -> Iterator[tuple[str, int, str]]:
    """Yield the messages that were said and not acknowledged, as role, number and label."""
    table = conversation.table
    for role, peering in enumerate(conversation.peers):
        for envelope in peering.unacked or ():
            yield table.roles[role], envelope.seq, table.labels[envelope.label]
