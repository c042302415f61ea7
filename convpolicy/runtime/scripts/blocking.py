"""The blocking twin of `join`: the same names without `await`, on a private event loop in a private thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar, cast, overload

from convpolicy.errors import ForeignThread
from convpolicy.link.port import Link
from convpolicy.link.sockets import Owner
from convpolicy.policy.model import AnyRole, Invited, Label, Message, Role
from convpolicy.runtime.running import loop_factory
from convpolicy.runtime.scripts.joining import OneConversation
from convpolicy.runtime.scripts.player import Joining
from convpolicy.runtime.scripts.script import Script, Until

__all__ = ["BlockingInner", "BlockingJoining", "BlockingScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)
M = TypeVar("M")
N = TypeVar("N")
O = TypeVar("O")  # noqa: E741
T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=loop_factory())
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="convpolicy", daemon=True)
        self._owner = Owner("a conversation joined with `join_blocking`", any_thread=True)
        self._thread.start()
        self._ready.wait()

    def _main(self) -> None:
        with self._runner:
            self._loop = self._runner.get_loop()
            self._stopped = asyncio.Event()
            self._ready.set()
            self._runner.run(self._wait())

    async def _wait(self) -> None:
        await self._stopped.wait()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it; Ctrl-C cancels it.

        Raises:
            ForeignThread: this is a forked child, in which the loop does not run; waiting would never end.
        """
        try:
            self._owner.check()
        except ForeignThread:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop; a forked child leaves that to its parent."""
        if self._owner.forked:
            return
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


class BlockingScript(Generic[Sends, Receives]):
    """A conversation that is played step by step, by a program without an event loop. See `Script`."""

    def __init__(self, loop: _Loop, script: Script[Sends, Receives]) -> None:
        self._loop, self._script = loop, script

    def send(self, message: Sends, *, to: Role[Any, Any] | None = None) -> None:
        """Send a message. Raises as `Script.send` does."""
        self._loop.call(self._script.send(message, to=to))

    @overload
    def receive(self, *, by: AnyRole | None = None, timeout: float | None = None, until: Until = None) -> Receives: ...
    @overload
    def receive(
        self, message: type[M], /, *, by: AnyRole | None = None, timeout: float | None = None, until: Until = None
    ) -> M: ...
    @overload
    def receive(
        self,
        one: type[M],
        other: type[N],
        /,
        *,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> M | N: ...
    @overload
    def receive(
        self,
        one: type[M],
        other: type[N],
        third: type[O],
        /,
        *,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> M | N | O: ...
    @overload
    def receive(
        self,
        label: Label,
        /,
        *labels: Label,
        by: AnyRole | None = None,
        timeout: float | None = None,
        until: Until = None,
    ) -> Message: ...

    def receive(
        self, *messages: type[Any] | Label, by: AnyRole | None = None, timeout: float | None = None, until: Until = None
    ) -> Any:
        """Return the next message of these classes, or the next of any. See `Script.receive`."""
        return self._loop.call(self._script.receive(*messages, by=by, timeout=timeout, until=until))

    def due(self, message: type[Any] | Label, /) -> None:
        """Wait until a message may be said that the policy has `after` a time. See `Script.due`."""
        self._loop.call(self._script.due(message))

    def __iter__(self) -> Iterator[Receives]:
        messages = aiter(self._script)
        done = object()
        while (message := self._loop.call(cast("Coroutine[Any, Any, object]", anext(messages, done)))) is not done:
            yield cast("Receives", message)

    def call(self, protocol: str, *roles: AnyRole) -> BlockingInner:
        """Call a nested protocol and take part: `with conversation.call("Paying") as paying:`. See `Script.call`."""
        return BlockingInner(self._loop, self._script.call(protocol, *roles))

    def start(self, protocol: str, *roles: AnyRole) -> None:
        """Call a nested protocol in which this role takes no part. See `Script.start`."""

        async def start() -> None:
            self._script.start(protocol, *roles)

        self._loop.call(start())

    def enter(self, invited: Invited) -> BlockingInner:
        """Go where this role was invited to: `with conversation.enter(invited) as paying:`. See `Script.enter`."""
        return BlockingInner(self._loop, self._script.enter(invited))

    def once(self, step: Callable[[sqlite3.Connection], O]) -> O:
        """Take a step of the application, on the private thread. See `Dialogue.once`."""
        return self._loop.call(self._script.once(step))

    @property
    def idempotency_key(self) -> str:
        """A text for other systems to know a request by. See `Dialogue.idempotency_key`."""
        return self._script.idempotency_key

    def abort(self, reason: str) -> None:
        """End the conversation early; the other roles get `Aborted(reason)`."""

        async def abort() -> None:
            self._script.abort(reason)

        self._loop.call(abort())

    def move(self, via: Link, *, timeout: float = 10.0) -> None:
        """Have the conversation go on over another link. See `Dialogue.move`."""
        self._loop.call(self._script.move(via, timeout=timeout))

    @property
    def link(self) -> str:
        """The address of the link over which the conversation goes now."""
        return self._script.link

    @property
    def alternative(self) -> str | None:
        """Where the conversation may go on, when this process gives its link up; see `Playing.retire`."""
        return self._script.alternative

    @property
    def id(self) -> str:
        """The conversation's id, in hexadecimal: the same at every role."""
        return self._script.id

    @property
    def owes(self) -> tuple[str, ...]:
        """The labels one of which must be sent from here."""
        return self._script.owes

    @property
    def awaits(self) -> tuple[str, ...]:
        """The labels that may be received now."""
        return self._script.awaits

    @property
    def history(self) -> tuple[str, ...]:
        """The labels of what was said so far, as seen from here."""
        return self._script.history

    @property
    def sender(self) -> Role[Any, Any] | None:
        """Who sent the message that was received last; None before the first."""
        return self._script.sender

    def __repr__(self) -> str:
        return repr(self._script).replace("<Script", "<BlockingScript", 1)


class BlockingInner:
    """What `call` and `enter` of a blocking script return: `with` it to take part in a conversation of its own."""

    def __init__(self, loop: _Loop, inner: OneConversation[Script[Any, Any]]) -> None:
        self._loop, self._inner = loop, inner

    def __enter__(self) -> BlockingScript[Any, Any]:
        return BlockingScript(self._loop, self._loop.call(self._inner.__aenter__()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call(self._inner.__aexit__(kind, error, trace))


class BlockingJoining(Generic[Sends, Receives]):
    """What `join_blocking` returns: `with` it to take part in one conversation."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __enter__(self) -> BlockingScript[Sends, Receives]:
        self._loop = _Loop()
        try:
            self._joining: Joining[Sends, Receives] = self._loop.call(self._prepare())
            return BlockingScript(self._loop, self._loop.call(self._joining.__aenter__()))
        except BaseException:
            self._loop.stop()
            raise

    async def _prepare(self) -> Joining[Sends, Receives]:
        joining: Joining[Sends, Receives] = self._make()
        return joining

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.call(self._joining.__aexit__(kind, error, trace))
        finally:
            self._loop.stop()
