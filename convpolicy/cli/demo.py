"""`convpolicy demo`: a policy is checked, and processes hold its conversation over tcp.

The processes are the programs of `examples/`, as they are: a buyer and a seller, and a buyer that breaks the policy;
or the roles of another policy of the gallery around a service bus, along a pipeline, or over the links of a wiring.
All write what they receive into one pipe, line by line; a program prints a message before it acts on it, so the order
of the lines is the order of cause and effect, and each line can be drawn as an arrow when it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.errors import one_of
from convpolicy.policy import gallery
from convpolicy.policy.model import Policy
from convpolicy.policy.scribble import load
from convpolicy.show import Chart
from convpolicy.verify.check import require
from convpolicy.verify.runs.graph import graph_of

__all__ = ["demo"]


class _Cast(NamedTuple):
    """The programs of a demo: services, which run until they are told to end, and scripts, which end by themselves.

    With a `leader`, a script that the others wait for, that one is started first.
    """

    services: tuple[str, ...]
    scripts: tuple[str, ...]
    leader: str = ""


_CASTS = {  # a file, and what it is told beside the address
    "contract-net": _Cast(
        ("contractor.py First --amount 90", "contractor.py Second", "contractor.py Third --amount 80"), ("manager.py",)
    ),
    "newsletter": _Cast(("press.py", "reader.py --open"), (), "publisher.py Chairs Tables"),
    "purchase": _Cast(("seller.py",), ("buyer.py",)),
    "purchase-cancel": _Cast(("seller.py",), ("buyer.py --cancel",)),
    "reminder": _Cast(("buyer.py",), ("seller.py",)),
    "render": _Cast(("screen.py", "painter.py", "painter.py"), ("source.py",)),
    "shipping": _Cast(("seller.py", "bank.py", "shipper.py"), ("buyer.py",)),
    "support": _Cast(("agent.py", "desk.py"), ("customer.py",)),
    "survey": _Cast(("counter.py", "counter.py", "respondents.py 12"), (), "surveyor.py 12"),
    "two-buyers": _Cast(("seller.py",), ("second_buyer.py", "first_buyer.py")),
}
_RECEIVED = re.compile(r"(?P<receiver>\w+) received (?P<label>\w+)\((?P<payload>.*)\)(?: from (?P<sender>\w+))?")
_ADDRESS = re.compile(r"tcp://127\.0\.0\.1:(\d+)")
_PATIENCE = 10.0  # seconds for a process to end when it is told to
_Start = Callable[..., Awaitable[Process]]


def demo(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(_CASTS)}.")] = "purchase",
) -> None:
    """Watch a conversation between processes on this machine."""
    if name not in _CASTS:
        raise UsageError(f"there is no demo {name}\n  There is {one_of(_CASTS, word='and')}.")
    file = gallery.path(name)
    policy = load(file)
    typer.echo(f"The policy, {file.name}:\n")
    typer.echo(_indented(file.read_text(encoding="utf-8").partition("\n\n")[2]))
    typer.echo(f"\n{require(policy)}\n")
    raise typer.Exit(asyncio.run(_interruptible(_examples() / name, policy)))


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
    """Play the demo whose programs are in `folder`, and return the exit code."""
    reading, writing = os.pipe()
    async with contextlib.AsyncExitStack() as stack:
        said = await stack.enter_async_context(_lines(reading))

        async def start(*command: str | Path, stdout: int = writing) -> Process:
            return await stack.enter_async_context(_process(*command, stdout=stdout))

        if folder.name == "purchase":
            return await _two(folder, policy, said, start, writing)
        if folder.name == "render":
            return await _through_a_pipeline(folder, said, start, writing)
        if (folder / "wiring.toml").exists():
            return await _over_links(folder, policy, said, start, writing)
        return await _around_a_bus(folder, policy, said, start, writing)


async def _two(folder: Path, policy: Policy, said: asyncio.StreamReader, start: _Start, writing: int) -> int:
    """A buyer joins a seller, and another one breaks the policy."""
    seller = await start(folder / "seller.py", "tcp://127.0.0.1:0")
    url = await _address(said, "the seller")
    typer.echo(f"A seller, process {seller.pid}, listens at {url}. A buyer joins it as another process:\n")
    buyer = await start(folder / "buyer.py", url)
    os.close(writing)
    drawing = asyncio.ensure_future(_draw(said, policy))
    code = await buyer.wait()
    misuse = await start(folder / "misbehave.py", url, "--local", stdout=PIPE)
    refusal, _ = await misuse.communicate()
    _tell(seller, signal.SIGTERM)
    await drawing
    typer.echo(f"\n{refusal.decode().rstrip()}")
    return Exit.GOOD if code == misuse.returncode == 0 else Exit.REFUSED


async def _around_a_bus(folder: Path, policy: Policy, said: asyncio.StreamReader, start: _Start, writing: int) -> int:
    """Every role is a process that connects to a service bus."""
    cast = _CASTS[folder.name]
    bus = await start("-m", "convpolicy.cli", "bus", "tcp://127.0.0.1:0")
    url = await _address(said, "the service bus")
    typer.echo(f"A service bus, process {bus.pid}, listens at {url}. The roles connect to it, each as a process:\n")
    services = [await start(*_told(folder, service, url)) for service in cast.services]
    for _ in services:
        await said.readline()  # `Seller is connected to tcp://…`
    scripts = [await start(*_told(folder, script, url)) for script in cast.scripts]
    os.close(writing)
    drawing = asyncio.ensure_future(_draw(said, policy))
    codes = [await script.wait() for script in scripts]
    for service in services:
        _tell(service, signal.SIGTERM)
    codes += [await service.wait() for service in services]
    _tell(bus, signal.SIGTERM)
    await drawing
    return Exit.REFUSED if any(codes) else Exit.GOOD


async def _through_a_pipeline(folder: Path, said: asyncio.StreamReader, start: _Start, writing: int) -> int:
    """A source, workers and a last role; what that one shows comes at the end, as the source may draw a bar before."""
    cast = _CASTS[folder.name]
    with tempfile.TemporaryDirectory(prefix="cp") as place:
        urls = [f"ipc://{place}/todo", f"ipc://{place}/done"]
        services = [await start(folder / service, *urls) for service in cast.services]
        typer.echo(f"A screen, process {services[0].pid}, and two painters wait; a source has a picture painted.\n")
        scripts = [await start(folder / script, *urls) for script in cast.scripts]
        os.close(writing)
        codes = [await script.wait() for script in scripts]
        for service in services:
            _tell(service, signal.SIGTERM)
        codes += [await service.wait() for service in services]
    async for line in said:
        if not line.endswith(b" waits\n"):
            typer.echo(line.decode().rstrip())
    return Exit.REFUSED if any(codes) else Exit.GOOD


async def _over_links(folder: Path, policy: Policy, said: asyncio.StreamReader, start: _Start, writing: int) -> int:
    """The links are those of the example's wiring, at addresses of this demo alone."""
    cast = _CASTS[folder.name]
    with tempfile.TemporaryDirectory(prefix="cp") as place:
        wiring = Path(place) / "wiring.toml"
        wiring.write_text(_ADDRESS.sub(rf"ipc://{place}/\1", (folder / "wiring.toml").read_text(encoding="utf-8")))
        bus = await start("-m", "convpolicy.cli", "bus", f"ipc://{place}/5555")
        await _address(said, "the service bus")
        leader = await start(*_told(folder, cast.leader, wiring), stdout=PIPE)
        services: list[Process] = []
        for service in cast.services:
            if services:  # with the last one the conversation begins, and each line may be of it
                await said.readline()  # `Counter is at work`
            services.append(await start(*_told(folder, service, wiring)))
        typer.echo(f"{len(services) + 2} processes, all of them over the links of {folder.name}/wiring.toml:\n")
        os.close(writing)
        drawing = asyncio.ensure_future(_draw(said, policy))
        out, _ = await leader.communicate()
        for service_process in (*services, bus):
            _tell(service_process, signal.SIGTERM)
        codes = [await process.wait() for process in (leader, *services, bus)]
        await drawing
    typer.echo("\n" + out.decode().rstrip())
    return Exit.REFUSED if any(codes) else Exit.GOOD


def _told(folder: Path, program: str, url: str | Path) -> list[str | Path]:
    """Return the command of a program of the table: a role, if it has one, comes before the address."""
    file, *words = program.split()
    roles = 1 if words and not words[0].startswith("-") and isinstance(url, str) else 0
    return [folder / file, *words[:roles], url, *words[roles:]]


async def _address(said: asyncio.StreamReader, who: str) -> str:
    """Return the address that the first line of a server gives."""
    url = (await said.readline()).decode().rpartition(" ")[2].strip()  # `Seller listens at tcp://…`
    if not url:
        raise UsageError(f"{who} did not start\n  Its own words are above.")
    return url


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
async def _process(*command: str | Path, stdout: int) -> AsyncGenerator[Process]:
    """Run a Python program; however the block is left, the program has ended then."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A process group of its own: Ctrl-C goes to the demo alone, which ends the others in order.
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=stdout, env=environment, process_group=0
    )
    try:
        yield process
    finally:
        await _end(process)


def _tell(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended already.

    `Process.terminate` looks whether it has, and so may take its end away from asyncio, which then complains of an
    "Unknown child process pid" (Python 3.11).
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    _tell(process, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE)
    except TimeoutError:
        _tell(process, signal.SIGKILL)
        await process.wait()


async def _draw(lines: asyncio.StreamReader, policy: Policy) -> None:
    """Draw each message when its receiver reports it."""
    roles = [role.name for role in policy.roles]
    senders = {(symbol.receiver, symbol.label): symbol.sender for symbol in graph_of(policy).labels}
    chart = Chart(roles, [label.name for label in policy.labels])
    typer.echo(chart.header)
    # Python writes the end of a line by itself, so what another process says may come before it.
    apart = re.compile(f"(?=(?:{'|'.join(roles)}) received )")
    async for line in lines:
        for message in map(_RECEIVED.match, apart.split(line.decode().rstrip())):
            if message is not None:
                receiver, label, payload, sender = message.groups()
                typer.echo(chart.message(sender or senders[receiver, label], receiver, label, payload))
