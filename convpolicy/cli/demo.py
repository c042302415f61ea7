"""`convpolicy demo`: a policy is checked, two processes hold its conversation over tcp, and one breaks it.

The processes are the programs of `examples/`, as they are. Both write what they receive into one pipe, line by
line; a program prints a message before it acts on it, so the order of the lines is the order of cause and
effect, and each line can be drawn as an arrow when it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.errors import one_of
from convpolicy.policy.model import Policy
from convpolicy.policy.scribble import load
from convpolicy.show import Chart
from convpolicy.verify.check import require

__all__ = ["demo"]

_NAMES = ("purchase",)
_RECEIVED = re.compile(r"(?P<receiver>\w+) received (?P<label>\w+)\((?P<payload>.*)\)")
_PATIENCE = 10.0  # seconds for a process to end when it is told to


def demo(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(_NAMES)}.")] = "purchase",
) -> None:
    """Watch a conversation between two processes on this machine."""
    if name not in _NAMES:
        raise UsageError(f"there is no demo {name}\n  There is {one_of(_NAMES, word='and')}.")
    folder = _examples() / name
    policy = load(folder / f"{name}.scr")
    typer.echo(f"The policy, {name}.scr:\n")
    typer.echo(_indented((folder / f"{name}.scr").read_text(encoding="utf-8").partition("\n\n")[2]))
    typer.echo(f"\n{require(policy)}\n")
    raise typer.Exit(asyncio.run(_interruptible(folder, policy)))


def _examples() -> Path:
    """Return where the example programs are: in an installed package, or beside it in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.rstrip().split("\n"))


async def _interruptible(folder: Path, policy: Policy) -> int:
    """Play; SIGTERM ends it as Ctrl-C does, so that no process is left behind."""
    playing = asyncio.ensure_future(_play(folder, policy))
    terminated = asyncio.Event()

    def terminate() -> None:
        terminated.set()
        playing.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await playing
    except asyncio.CancelledError:
        if not terminated.is_set():
            raise
        return 128 + signal.SIGTERM


async def _play(folder: Path, policy: Policy) -> int:
    reading, writing = os.pipe()
    async with contextlib.AsyncExitStack() as stack:
        said = await stack.enter_async_context(_lines(reading))
        seller = await stack.enter_async_context(_process(folder / "seller.py", "tcp://127.0.0.1:0", stdout=writing))
        url = (await said.readline()).decode().rpartition(" ")[2].strip()  # `Seller listens at tcp://…`
        if not url:
            raise UsageError("the seller did not start\n  Its own words are above.")
        typer.echo(f"A seller, process {seller.pid}, listens at {url}. A buyer joins it as another process:\n")
        buyer = await stack.enter_async_context(_process(folder / "buyer.py", url, stdout=writing))
        os.close(writing)
        drawing = asyncio.ensure_future(_draw(said, policy))
        code = await buyer.wait()
        misuse = await stack.enter_async_context(_process(folder / "misbehave.py", url, "--local", stdout=PIPE))
        refusal, _ = await misuse.communicate()
        seller.terminate()
        await drawing
    typer.echo(f"\n{refusal.decode().rstrip()}")
    return Exit.GOOD if code == misuse.returncode == 0 else Exit.REFUSED


@contextlib.asynccontextmanager
async def _lines(descriptor: int) -> AsyncGenerator[asyncio.StreamReader]:
    """Read a pipe line by line."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        yield reader
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def _process(program: Path, *arguments: str, stdout: int) -> AsyncGenerator[Process]:
    """Run a Python program; however the block is left, the program has ended then."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = (sys.executable, str(program), *arguments)
    # A process group of its own: Ctrl-C goes to the demo alone, which ends the others in order.
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout, env=environment, process_group=0)
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _draw(lines: asyncio.StreamReader, policy: Policy) -> None:
    """Draw each message when its receiver reports it."""
    roles = [role.name for role in policy.roles]
    chart = Chart(roles, [label.name for label in policy.labels])
    typer.echo(chart.header)
    async for line in lines:
        message = _RECEIVED.match(line.decode())
        if message is not None:
            receiver, label, payload = message.groups()
            sender = next(role for role in roles if role != receiver)
            typer.echo(chart.message(sender, receiver, label, payload))
