"""Handlers: functions from a message to the messages it sends, and how they are called.

A handler may return nothing, one message or a list of them, or yield them; it may be async. It runs at once, in the
turn of the loop in which its message arrived; an async one goes on as a task where it has to wait for something. Either
way, what it yields waits while the peer's credit is spent.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from convpolicy.clocks import RANG
from convpolicy.errors import ServiceError
from convpolicy.machine import CRASH
from convpolicy.policy.model import Crashed, Invited, Label, Returned

__all__ = [
    "AT_LEAST_ONCE",
    "AT_MOST_ONCE",
    "INVITED",
    "RETURNED",
    "Declares",
    "EffectsOutside",
    "Handler",
    "OnTimer",
    "Register",
    "label_of",
    "replies",
    "shown",
]

# What handlers are registered for besides messages, under signs that no message can be called by.
INVITED, RETURNED = "↓", "↑"
_SIGNS: dict[type[Any], str] = {Crashed: CRASH, Invited: INVITED, Returned: RETURNED}

EffectsOutside: TypeAlias = Literal["at_least_once", "at_most_once"]
_OF_TIMER = "Give it none, or one, the conversation: there is no message."

AT_LEAST_ONCE: Final = "at_least_once"
AT_MOST_ONCE: Final = "at_most_once"

M = TypeVar("M")
S = TypeVar("S")
P = ParamSpec("P")
Made = TypeVar("Made", covariant=True)
Allowed = TypeVar("Allowed", covariant=True)


class Declares(Protocol[Made, Allowed]):
    """A class whose instances are `Made`, which is among `Allowed`.

    Python's types have no intersection, and a bound cannot name a type variable; calling the class gives both.
    """

    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Made: ...
    @overload
    def __call__(  # type: ignore[overload-cannot-match]  # pyright: ignore[reportOverlappingOverload]
        self, *args: Any, **kwargs: Any
    ) -> Allowed: ...


class Register(Protocol[M, S]):
    """The decorator that `service.on(Message)` returns: it gives the function back as it is."""

    @overload
    def __call__(
        self, handler: Callable[Concatenate[M, P], AsyncIterator[S]], /
    ) -> Callable[Concatenate[M, P], AsyncIterator[S]]: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[M, P], Iterator[S]], /
    ) -> Callable[Concatenate[M, P], Iterator[S]]: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[M, P], Awaitable[S | list[S] | None]], /
    ) -> Callable[Concatenate[M, P], Awaitable[S | list[S] | None]]: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[M, P], S | list[S] | None], /
    ) -> Callable[Concatenate[M, P], S | list[S] | None]: ...
    def __call__(self, handler: Any, /) -> Any:
        """Register the handler."""
        ...


class OnTimer(Protocol[S]):
    """The decorator that `service.after(Message)` returns: it gives the function back as it is."""

    @overload
    def __call__(self, handler: Callable[P, AsyncIterator[S]], /) -> Callable[P, AsyncIterator[S]]: ...
    @overload
    def __call__(self, handler: Callable[P, Iterator[S]], /) -> Callable[P, Iterator[S]]: ...
    @overload
    def __call__(
        self, handler: Callable[P, Awaitable[S | list[S] | None]], /
    ) -> Callable[P, Awaitable[S | list[S] | None]]: ...
    @overload
    def __call__(self, handler: Callable[P, S | list[S] | None], /) -> Callable[P, S | list[S] | None]: ...
    def __call__(self, handler: Any, /) -> Any:
        """Register the handler."""
        ...


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function: how many parameters it takes, how often it is tried, and whether it has to be awaited.

    `effect` is what may become of what it does elsewhere, when the process is interrupted: see `Service.on`. One
    `of_timer` is called without a message.
    """

    function: Callable[..., object]
    takes_conversation: bool
    attempts: int
    effect: EffectsOutside = AT_LEAST_ONCE
    is_async: bool = False
    of_timer: bool = False

    @classmethod
    def of(
        cls,
        function: Callable[..., object],
        label: str,
        attempts: int,
        effect: EffectsOutside = AT_LEAST_ONCE,
        *,
        of_timer: bool = False,
    ) -> Handler:
        """Look at a function.

        Raises:
            ServiceError: it takes other parameters than a message, or a message and a conversation; one of a timer
                takes none, or a conversation.
        """
        try:
            parameters = [
                p
                for p in inspect.signature(function).parameters.values()
                if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
            ]
        except (TypeError, ValueError) as problem:
            raise ServiceError(f"the handler of {label} is not a function: {function!r}") from problem
        messages = 0 if of_timer else 1
        if not messages <= len(parameters) <= messages + 1:
            name = getattr(function, "__name__", repr(function))
            raise ServiceError(
                f"{name}, the handler of {shown(label)}, takes {len(parameters)} parameters.\n  "
                + (_OF_TIMER if of_timer else "Give it one, the message, or two, the message and the conversation.")
            )
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        return cls(function, len(parameters) > messages, attempts, effect, is_async, of_timer)

    def run(self, message: object, *conversation: object) -> object:
        """Call the function with what it takes."""
        return self.function(*conversation) if self.of_timer else self.function(message, *conversation)


def label_of(message: type[Any] | Label) -> str:
    """Return the label that a class or a label stands for, where a program says what it receives."""
    if isinstance(message, Label):
        return message.name
    return _SIGNS.get(message) or message.__name__


def shown(label: str) -> str:
    """Return a label as the program writes it."""
    if label.startswith(RANG):
        return f"{label.removeprefix(RANG)}'s timer"
    return next((kind.__name__ for kind, sign in _SIGNS.items() if sign == label), label)


def replies(result: object) -> Iterable[object] | None:
    """Return the messages in what a plain handler returned; None when the result has to be awaited.

    A message may itself be a tuple or a mapping, so only lists and generators are taken apart.
    """
    if result is None:
        return ()
    kind = type(result)
    if kind is GeneratorType or kind is list:
        return cast("Iterable[object]", result)
    if kind is AsyncGeneratorType or kind is CoroutineType or isinstance(result, Awaitable):
        return None
    return (result,)
