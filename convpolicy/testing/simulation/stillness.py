"""While runs are played, by the thousand: nothing is logged, and what handlers raise is kept for who looks at a run.

Random numbers come from the run's seed, also those that handlers draw.
"""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import convpolicy
from convpolicy.testing.simulation.chance import Chance

__all__ = ["listening", "seeded"]

_PACKAGE = Path(convpolicy.__file__).parent


class _Listener(logging.Handler):
    """Tells of the exceptions that are logged."""

    def __init__(self, raised: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._raised = raised

    def emit(self, record: logging.LogRecord) -> None:
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None:
            self._raised(_words(problem))


def _words(problem: BaseException) -> str:
    """Say what was raised, and where in the user's code."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_PACKAGE)]
    what = "".join(traceback.format_exception_only(problem)).strip().partition("\n")[0]
    if not own:
        return what
    place = own[-1]
    return f"{what}, at {Path(place.filename).name}:{place.lineno}: {place.line}"


@contextmanager
def listening(raised: Callable[[str], None]) -> Generator[None]:
    """Keep the logs of runs to themselves; `raised` is told of the exceptions in them."""
    root = logging.root
    before, handlers = root.manager.disable, root.handlers
    logging.disable(logging.WARNING)
    root.handlers = [_Listener(raised)]
    try:
        yield
    finally:
        root.handlers = handlers
        logging.disable(before)


@contextmanager
def seeded(chance: Chance) -> Generator[None]:
    """Let handlers that draw random numbers draw the same ones again."""
    before = random.getstate()
    random.seed(chance.seed)
    try:
        yield
    finally:
        random.setstate(before)
