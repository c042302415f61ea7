"""Programs that run beside this one, are asked questions by lines of JSON, and always end.

A program reads its standard input and ends when that ends, so none outlives the process that started it,
however that one ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Program", "end_with_parent", "tell"]

# In the source tree the package is `benchmarks`; in an installed convpolicy it is `convpolicy.benchmarks`.
PACKAGE = __package__
ROOT = Path(__file__).resolve().parents[PACKAGE.count(".") + 1]  # the folder from which Python finds it
PATIENCE = 120.0  # seconds that a program may be silent before it counts as stuck


class Program:
    """A module of this package, running in a process of its own: `with` it."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def hear(self) -> Any:
        """Return the next thing that the program tells. Raises RuntimeError when it ends or says nothing."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise RuntimeError(f"{self.module} " + ("ended too early" if ready else f"was silent for {PATIENCE:g} s"))
        return json.loads(line)

    def ask(self, **question: object) -> Any:
        """Ask the program to do something, and return what it tells."""
        self.tell(**question)
        return self.hear()

    def tell(self, **question: object) -> None:
        """Ask the program to do something, of which another program tells."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")

    def finish(self) -> None:
        """Let the program end by itself: it may tell something last."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End the program, if it runs."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        if error is not None:
            self.kill()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


def tell(value: object) -> None:
    """Tell the process that started this one something."""
    print(json.dumps(value), flush=True)


def end_with_parent() -> None:
    """Send this process SIGTERM when its standard input ends; for programs that are asked nothing."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        # To the main thread by name: a signal that another thread takes does not end the main thread's waiting.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
