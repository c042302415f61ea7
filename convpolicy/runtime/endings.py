"""How a conversation ended early, as the facts that travel, and as the error that they make at the other role."""

from __future__ import annotations

from convpolicy.conversation import Conversation
from convpolicy.errors import (
    Aborted,
    Busy,
    ChannelRetired,
    ConversationError,
    Expired,
    InDoubt,
    PeerLost,
    Quarantined,
    RoundOver,
    Unplayable,
)
from convpolicy.wire.frame import Ended, Unplayed

__all__ = ["ended", "error_of", "turned_away"]


def ended(conversation: Conversation, error: ConversationError) -> Ended:
    """Return what to tell the other roles of a conversation that has failed here with `error`."""
    kind, facts = _facts(error)
    return Ended(conversation.id, conversation.table.role, kind, list(facts))


def turned_away(conversation: Conversation, error: ConversationError) -> Ended | Unplayed:
    """Return what to tell who opens a conversation that is not begun here; one who is busy may be asked again."""
    if isinstance(error, Busy):
        return Unplayed(conversation.id, conversation.table.role, error.why, busy=True)
    return ended(conversation, error)


def _facts(error: ConversationError) -> tuple[str, tuple[str | int | float, ...]]:
    match error:
        case Aborted():
            return "aborted", (error.reason,)
        case Expired():
            return "expired", (error.role, error.label, error.within)
        case Quarantined():
            return "quarantined", (error.peer, error.violations, error.last)
        case Busy():
            return "busy", (error.peer, error.why, error.waited)
        case Unplayable():
            return "unplayed", (error.peer, error.why, error.waited)
        case PeerLost():
            return "lost", (error.peer, error.why)
        case InDoubt(cause=ConversationError() as cause):
            return _facts(cause)
        case ChannelRetired():
            return "retired", (error.url, error.alternative, int(error.begun))
        case RoundOver():
            return "over", (error.by,)
        case _:
            return "aborted", (str(error).partition("\n")[0],)


def error_of(item: Ended, by: str) -> ConversationError:
    """Return the error that an `Ended` from the role `by` stands for."""
    match item.kind, item.facts:
        case "expired", [str(role), str(label), int() | float() as within]:
            return Expired(role, label, within)
        case "busy", [str(role), str(why), int() | float() as waited]:
            return Busy(role, why, waited)
        case "unplayed", [str(role), str(why), int() | float() as waited]:
            return Unplayable(role, why, waited)
        case "lost", [str(role), str(why)]:
            return PeerLost(role, why)
        case "over", [str(role)]:
            return RoundOver(role)
        case "retired", [str(url), str(alternative), int(begun)]:
            return ChannelRetired(url, alternative, begun=bool(begun))
        case "quarantined", [str(peer), int(count), str(last)]:
            return Quarantined(peer, count, last)
        case _, [str(reason), *_]:
            return Aborted(reason, by=by)
        case _:
            return Aborted("no reason was given", by=by)
