"""Programs that are processes of their own, with fault proxies between them: to be killed, stopped, and cut off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from faultproxy import FaultProxy
from ports import free_urls

from .log import Log

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 120.0  # seconds; only what hangs takes so long
ROOT = Path(__file__).parents[2]


class Failed(Exception):
    """Something that must not happen has."""


class Program:
    """A program that is started again whenever it was killed. `log` is what it has said in all its lives.

    `killed` are the processes of those lives that are over.
    """

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name, self.log = name, Log(folder / f"{name}.log")
        self._command, self._errors = command, folder / f"{name}.err"
        self._process: asyncio.subprocess.Process | None = None
        self.lives, self.killed = 0, set[str]()

    async def start(self) -> None:
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        self.lives += 1

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def up(self) -> bool:
        """Whether this life of it plays by now. A program of the package says nothing, and is taken to."""
        return self._running.returncode is not None or self.log.has("up", str(self.pid)) or "-m" in self._command

    async def kill(self) -> None:
        """End it as nothing else does: without a word."""
        if self._running.returncode is None:
            self._running.kill()
            self.killed.add(str(self.pid))
        await self._running.wait()

    async def pause(self, seconds: float) -> None:
        """Let it stand still."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                os.kill(self.pid, signal.SIGCONT)

    async def ends(self) -> None:
        """Wait until it has ended by itself. Raises Failed when it does not, or not well."""
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._running.wait()
        except TimeoutError:
            raise Failed(f"{self.name} does not end; its last words: {list(self.log.lines())[-3:]}") from None
        if code:
            raise Failed(f"{self.name} ended with {code}: {self._errors.read_text()[-2000:]}")


class Town:
    """All of them. `async with Town(folder) as town:`; nothing of it is left afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: dict[str, Program] = {}
        self.proxies: list[FaultProxy] = []
        self.enough = folder / "enough"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for program in self.programs.values():
            if program.lives:
                await program.kill()
        await self._stack.aclose()

    def plays(self, name: str, program: str, role: str, url: str, *more: str) -> Program:
        """Add one of the programs here, by the name of its file."""
        log = str(self.folder / f"{name}.log")
        return self._add(name, [str(PROGRAMS / f"{program}.py"), role, url, log, str(self.enough), *more])

    def command(self, name: str, *words: str) -> Program:
        """Add a `convpolicy` command."""
        return self._add(name, ["-m", "convpolicy.cli", *words])

    def _add(self, name: str, words: list[str]) -> Program:
        self.programs[name] = Program(name, [sys.executable, *words], self.folder)
        return self.programs[name]

    async def behind(self, url: str, *, pair: bool = False) -> str:
        """Return another address for `url`, that of a proxy before it; with `pair`, also before its next port."""
        port, (found,) = int(url.rpartition(":")[2]), free_urls(1)
        at = int(found.rpartition(":")[2])
        for more in (0, 1) if pair else (0,):
            proxy = FaultProxy(f"tcp://127.0.0.1:{port + more}", port=at + more)
            self.proxies.append(await self._stack.enter_async_context(proxy))
        return found

    async def start(self) -> None:
        """Start everybody, and wait until they play."""
        for program in self.programs.values():
            await program.start()
        for program in self.programs.values():
            await until(lambda program=program: program.up, f"{program.name} does not come up")


async def until(condition: Callable[[], bool], problem: str) -> None:
    """Wait for something that must come. Raises Failed when it does not."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Failed(problem) from None
