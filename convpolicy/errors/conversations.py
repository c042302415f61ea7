"""What goes wrong in one conversation, and with the journal that it is kept in."""

from __future__ import annotations

from collections.abc import Mapping

from convpolicy.errors.policies import ConvPolicyError, one_of

__all__ = [
    "Aborted",
    "Busy",
    "ChannelRetired",
    "ConversationError",
    "CreditSpent",
    "Expired",
    "Forked",
    "InDoubt",
    "JournalError",
    "JournalFailed",
    "LocalViolation",
    "PeerLost",
    "PolicyMismatch",
    "Quarantined",
    "RemoteViolation",
    "ReplayDiffers",
    "RoundOver",
    "TooSlow",
    "Unfinished",
    "Unplayable",
]


class ConversationError(ConvPolicyError):
    """Something went wrong in one conversation; `conversation` is its id in hexadecimal, where known."""

    conversation: str | None = None


class LocalViolation(ConversationError):
    """This program tried what the policy does not allow now. Nothing has left the process.

    Attributes: `role`, `state`, `attempted`, `allowed` (the moves that are), `history`. Where the move is allowed and
    the message's condition is false, `values` are those that make it so, by name.
    """

    def __init__(
        self,
        problem: str,
        *,
        role: str,
        state: str,
        attempted: str,
        allowed: tuple[str, ...],
        history: tuple[str, ...] = (),
        values: Mapping[str, object] | None = None,
    ) -> None:
        self.role, self.state, self.attempted = role, state, attempted
        self.allowed, self.history, self.values = allowed, history, dict(values or {})
        so_far = ", ".join(history) or "nothing yet"
        super().__init__(
            f"{problem}\n  state: {state}\n  allowed now: {one_of(allowed)}\n  so far: {so_far}\n"
            f"  Nothing was sent. {_advice(allowed, false=values is not None)}"
        )


def _advice(allowed: tuple[str, ...], *, false: bool) -> str:
    if false:
        return "Send it with values of which the condition is true, or another message."
    if not allowed:
        return "The conversation is over for this role: start a new one."
    return f"First {one_of(allowed)}, or change the policy."


class RemoteViolation(ConversationError):
    """A peer sent what the policy does not allow. The application never sees the message.

    Attributes: `role` (ours), `peer`, `label`, `seq` (its number, 0 where that is not known), `state`, `allowed` (the
    labels that were), `history`. Where the message's condition is false, `values` are those that make it so, by name.
    """

    def __init__(
        self,
        problem: str,
        *,
        role: str,
        peer: str,
        label: str,
        state: str,
        allowed: tuple[str, ...],
        history: tuple[str, ...] = (),
        seq: int = 0,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self.role, self.peer, self.label, self.seq, self.state = role, peer, label, seq, state
        self.allowed, self.history, self.values = allowed, history, dict(values or {})
        super().__init__(
            f"{problem}\n  state: {state}\n  {role} may receive: {one_of(allowed)}\n"
            f"  so far: {', '.join(history) or 'nothing yet'}\n"
            f"  The message was refused. {peer} must follow the policy: compare both sides' policies and code."
        )


class Unfinished(ConversationError):
    """The program leaves a conversation in which it still owes a message; `owes` lists the labels."""

    def __init__(self, role: str, owes: tuple[str, ...], history: tuple[str, ...] = ()) -> None:
        self.role, self.owes, self.history = role, owes, history
        super().__init__(
            f"{role} leaves the conversation but still owes {one_of(owes)}. The other roles were told that it "
            f"is over.\n  so far: {', '.join(history) or 'nothing yet'}\n"
            f"  Send {one_of(owes)} before leaving, or call `conversation.abort(reason)` to give up on purpose."
        )


class Aborted(ConversationError):
    """The conversation was ended early by `by`, for `reason`."""

    def __init__(self, reason: str, *, by: str) -> None:
        self.reason, self.by = reason, by
        super().__init__(f"{by} aborted the conversation: {reason}\n  Start a new conversation.")


class Expired(ConversationError):
    """A message was not sent within its time: `role` owed `label` within `within` seconds.

    Where the whole conversation was not over in time, `label` is empty, and `role` had set the time.
    """

    def __init__(self, role: str, label: str, within: float) -> None:
        self.role, self.label, self.within = role, label, within
        if not label:
            super().__init__(
                f"the conversation was not over within {within:g} s, as {role} had asked, so it has expired.\n"
                f"  Start a new conversation, or give it a longer `deadline`."
            )
            return
        super().__init__(
            f"{role} did not send {label} within {within:g} s, so the conversation has expired.\n"
            f"  Start a new conversation, or give the policy a longer `within` for {label}."
        )


class ChannelRetired(ConversationError):
    """The link at `url` is being given up; `alternative` is where to go.

    It takes no new conversations. One that had `begun` was not moved before the link was closed.
    """

    def __init__(self, url: str, alternative: str, *, begun: bool = False) -> None:
        self.url, self.alternative, self.begun = url, alternative, begun
        super().__init__(
            f"{url} was given up before this conversation had moved.\n  Begin another one over {alternative}."
            if begun
            else f"{url} is being given up, and takes no new conversations.\n"
            f"  Begin the conversation over {alternative}."
        )


class PolicyMismatch(ConversationError):
    """The two sides do not run the same policy: `ours` and `theirs` are fingerprints, `differs` says where."""

    def __init__(self, policy: str, ours: str, theirs: str, differs: str) -> None:
        self.policy, self.ours, self.theirs, self.differs = policy, ours, theirs, differs
        super().__init__(
            f"the peer runs another {policy}: ours is {ours[:12]}, theirs is {theirs[:12]}\n  {differs}\n"
            f"  Give both sides the same policy file."
        )


class Quarantined(ConversationError):
    """The conversation was set aside after repeated violations by `peer`; nothing more is taken from it."""

    def __init__(self, peer: str, violations: int, last: str) -> None:
        self.peer, self.violations, self.last = peer, violations, last
        super().__init__(
            f"the conversation is quarantined after {violations} violations by {peer}; the last one: {last}\n"
            f"  Other conversations go on. Fix {peer}, then start a new conversation."
        )


class PeerLost(ConversationError):
    """The process at the other end is gone, and its side of the conversation with it."""

    def __init__(self, peer: str, why: str) -> None:
        self.peer, self.why = peer, why
        super().__init__(self._text())

    def _text(self) -> str:
        return (
            f"{self.peer} is gone: {self.why}\n  Its side of this conversation no longer exists. Start a new "
            f"conversation; {self.peer} may have acted on what it had received."
        )


class Unplayable(PeerLost):
    """Nobody plays a role of the conversation: the service bus found no player within `waited` seconds."""

    def __init__(self, peer: str, why: str, waited: float) -> None:
        self.waited = waited
        super().__init__(peer, why)

    def _text(self) -> str:
        return (
            f"nobody plays {self.peer}: {self.why}, and no player was found within {self.waited:g} s.\n"
            f"  No {self.peer} has seen anything of this conversation. Start a {self.peer} that connects to the same "
            f"bus, such as `convpolicy run MODULE:SERVICE --via URL --bus`; `timeout=…` waits longer."
        )


class Busy(Unplayable):
    """Whoever plays a role of the conversation had as many as it takes, for `waited` seconds."""

    def _text(self) -> str:
        return (
            f"{self.peer} is busy: {self.why}, and took no other within {self.waited:g} s.\n"
            f"  No {self.peer} has seen anything of this conversation. Begin it again later, wait longer "
            f"(`timeout=…`), or have it take more (`at_most=…`, `per_peer=…`)."
        )


class CreditSpent(ConversationError):
    """`label` was told to `peer` while as much is unacknowledged there as may be. Nothing has left the process.

    `messages` and `bytes` are what is under way to that process in all conversations with it.
    """

    def __init__(self, peer: str, label: str, messages: int, bytes: int) -> None:  # noqa: A002
        self.peer, self.label, self.messages, self.bytes = peer, label, messages, bytes
        super().__init__(
            f"{label} was not said: {messages:,} messages ({bytes:,} bytes) to the process of {peer} are not "
            f"acknowledged yet, in all conversations with it.\n"
            f"  `tell` does not wait: yield {label} from a handler, or `await` a script's `send`, which do; or say it "
            f"again later."
        )


class RoundOver(ConversationError):
    """A player of many answered when `by`, whom it answered, had gone on; it enters again with the next round."""

    def __init__(self, by: str) -> None:
        self.by = by
        super().__init__(f"the round is over: {by} has gone on.\n  Answer the next one, in a new conversation.")


class TooSlow(ConversationError):
    """A leaf of a tree did not take its messages in time and was cut off, as its tree says; `waiting` were left."""

    def __init__(self, role: str, waiting: int) -> None:
        self.role, self.waiting = role, waiting
        super().__init__(
            f"{role} was cut off: {waiting} messages had come and were not taken.\n"
            f'  Take them faster, let more wait (`waiting=`), or give up some with `slow="conflate"` or '
            f'`slow="resnapshot"`.'
        )


# ---------------------------------------------------------------------------------------------- journals


class JournalError(ConvPolicyError):
    """A journal cannot be used."""


class JournalFailed(JournalError, ConversationError):
    """The journal at `path` could not be written. Nothing that was not durable has left the process, which must end."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(
            f"the journal {path} cannot be written: {problem}.\n  Nothing was sent that is not in it. End this "
            f"process, see to the disk, and start it again: its conversations go on from the journal."
        )


class Forked(JournalError, ConversationError):
    """A journal is not the latest of its name: `peer` has seen more of it than it holds, for the reason `seen`."""

    def __init__(self, peer: str, seen: str) -> None:
        self.peer, self.seen = peer, seen
        super().__init__(
            f"this journal is behind what {peer} knows of it: {seen}.\n  It was restored from a backup, or copied. "
            f"Go on with the one that is ahead; where it is lost, start with a new journal, and settle what was open "
            f"with {peer} by hand."
        )


class ReplayDiffers(JournalError, ConversationError):
    """A program that was started again says or asks something else than the journal has of its last run.

    `recorded` is what it did then, `now` what it does instead.
    """

    def __init__(self, role: str, recorded: str, now: str) -> None:
        self.role, self.recorded, self.now = role, recorded, now
        super().__init__(
            f"{role} does not repeat what it did before it was interrupted\n  then: {recorded}\n  now:  {now}\n"
            f"  A program that is resumed runs again from its beginning, and must come to the same point in the same "
            f"way. Put what may come out differently (time, chance, other systems) into `once`."
        )


class InDoubt(ConversationError):
    """Nobody here can know whether something has happened: `what` names it, `why` is what stopped the conversation.

    `cause` is the error that would have been raised otherwise, where there is one.
    """

    def __init__(self, what: tuple[str, ...], why: str, cause: ConversationError | None = None) -> None:
        self.what, self.why, self.cause = what, why, cause
        super().__init__(
            f"in doubt: {one_of(what, word='and')}. {why}\n"
            f"  It may have happened or not. Find out from whom it concerns, then act on that; never just repeat it."
        )
