"""Moving a conversation to another link, from where it was opened: meet who listens there, ask everybody, and go.

What it means at every role is in `moves`. Only whoever opened a conversation moves it, so that two never do at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from convpolicy.conversation import Conversation
from convpolicy.errors import LinkError, WiringError, one_of
from convpolicy.link.port import Link
from convpolicy.runtime.moves import Asked
from convpolicy.runtime.peers.delivery import routes
from convpolicy.runtime.peers.processes import Peer

if TYPE_CHECKING:
    from convpolicy.runtime.endpoint import Endpoint

__all__ = ["move"]

_AGAIN = 0.5  # seconds until those who have not answered are asked again


async def move(endpoint: Endpoint, conversation: Conversation, link: Link, *, timeout: float) -> None:
    """Have a conversation go on over another link. See `Dialogue.move`."""
    _ensure_movable(endpoint, conversation, link)
    target = await endpoint.meet(link, timeout)
    (route,) = routes(conversation)
    if target is route:
        return None
    _ensure_same(conversation, route, target, link)
    engine = endpoint.engine
    if not conversation.emitted:  # nobody has heard of it
        return engine.moves.switch(conversation, target, [])
    changed = asyncio.Event()
    asked = engine.moves.ask(conversation, target, changed.set)
    try:
        await _answered(endpoint, conversation, asked, changed, timeout)
        _ensure_all_can(conversation, asked, link)
        engine.moves.go(conversation, asked)
        await _answered(endpoint, conversation, asked, changed, timeout)
    finally:
        engine.moves.done(conversation)


def _ensure_movable(endpoint: Endpoint, conversation: Conversation, link: Link) -> None:
    endpoint.check()
    if conversation.error is not None:
        raise conversation.error
    if not endpoint.opens:
        raise WiringError(
            f"{conversation.role} cannot move this conversation to {link!r}: whoever opened it moves it.\n"
            f"  Listen there too, with `via=[…, …]`, and offer it by a message of the policy."
        )
    if endpoint.part.inner or endpoint.part.invited:
        raise WiringError(
            f"{endpoint.part.policy} calls other protocols, whose conversations would stay behind.\n"
            "  Move a conversation without calls."
        )
    if conversation.id not in endpoint.engine.conversations:
        raise WiringError("the conversation is over.\n  Begin the next one over the other link.")


def _ensure_same(conversation: Conversation, route: Peer, target: Peer, link: Link) -> None:
    """See to it that the same process is there, as far as that can be seen from here."""
    if route.hello is None or target.hello is None:
        raise LinkError("the process at the other end is gone.\n  Begin a new conversation.")
    same = route.hello.nonce == target.hello.nonce
    if route.hello.bus and same:
        raise WiringError(f"at {link.url} there is the same service bus.\n  Move to another one.")
    if not route.hello.bus and not target.hello.bus and not same and conversation.emitted:
        raise WiringError(
            f"at {link.url} there is another {target.role}, which knows nothing of this conversation.\n"
            f"  Move to an address at which the {target.role} that has it listens, too: `run(via=[…, …])`."
        )


async def _answered(
    endpoint: Endpoint, conversation: Conversation, asked: Asked, changed: asyncio.Event, timeout: float
) -> None:
    """Wait until everybody has answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while not asked.settled:
        if conversation.error is not None:
            raise conversation.error
        if conversation.id not in endpoint.engine.conversations:
            return  # it ended well meanwhile
        if loop.time() >= end:
            raise _unanswered(conversation, asked, timeout)
        endpoint.engine.tick()
        endpoint.engine.moves.say(conversation, asked)
        endpoint.wake()
        changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _AGAIN)


def _unanswered(conversation: Conversation, asked: Asked, timeout: float) -> LinkError:
    if asked.roles is None:
        missing = ["the service bus"]
    else:
        missing = [conversation.table.roles[role] for role in sorted(asked.roles - asked.answers.keys())]
    after = (
        "It goes on over the other link, and ends if they do not come."
        if asked.item.go
        else "It goes on where it was; `timeout=…` waits longer."
    )
    return LinkError(
        f"{one_of(missing, word='and')} did not say within {timeout:g} s that the conversation moves.\n  {after}"
    )


def _ensure_all_can(conversation: Conversation, asked: Asked, link: Link) -> None:
    reasons = {conversation.table.roles[role]: why for role, why in sorted(asked.answers.items()) if why}
    if reasons:
        cannot = one_of([f"{role} cannot go on at {link.url}: {why}" for role, why in reasons.items()], word="and")
        raise WiringError(
            f"{cannot}.\n  The conversation goes on where it was. Play {one_of(reasons, word='and')} over both links: "
            f"`run(via=[…, …])`."
        )
