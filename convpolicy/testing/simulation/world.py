"""One run: the processes of a policy's roles, the network between them, and what goes wrong, all from one seed.

A run has three acts. First conversations are opened while things go wrong, until all that were asked for are over.
Then everything is well again, and one more conversation has to go well. At last everybody is asked to leave, and
nothing may be left of them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from convpolicy.errors import ConversationError, JournalFailed, LinkError, PolicyError
from convpolicy.journal.memory import Fate
from convpolicy.policy.model import Role
from convpolicy.runtime.bus.service_bus import ServiceBus
from convpolicy.runtime.surroundings import SURROUNDINGS, Surroundings
from convpolicy.testing.simulation.cast import Given, Stage, opener, program_of
from convpolicy.testing.simulation.chance import Chance
from convpolicy.testing.simulation.disk import Disk
from convpolicy.testing.simulation.faults import BUS, LONG, SHORT, SPAN, Fault, Faults, Plan
from convpolicy.testing.simulation.improvised import Improvised, NothingFits
from convpolicy.testing.simulation.improvising import Improviser
from convpolicy.testing.simulation.jobs import Jobs
from convpolicy.testing.simulation.loop import START, Call, Loop, Trouble
from convpolicy.testing.simulation.messages import Make, Messages, constants
from convpolicy.testing.simulation.moments import Moments
from convpolicy.testing.simulation.network import Network
from convpolicy.testing.simulation.process import PROCESS, Killed, Process, Program
from convpolicy.testing.simulation.record import Record
from convpolicy.testing.simulation.stillness import listening, seeded
from convpolicy.testing.simulation.wire import Wire
from convpolicy.verbs import Policy

__all__ = ["Problem", "Setting", "World"]

TO_THE_END = 240.0  # seconds after the last trouble in which everything must be over
SETTLES = 20.0  # seconds after which everybody knows who is there
JUMPS = -3600.0, -5.0, 5.0, 3600.0  # seconds by which a clock on the wall is set
LAST_STEP = 120  # of a process at which it is killed
LAST_COMMIT = 30  # that fails
# How much of a commit that was being written is there after a power failure: nothing, all, or up to some byte.
SHARES = 0.0, 0.003, 0.1, 0.23, 0.37, 0.49, 0.5, 0.61, 0.74, 0.88, 0.96, 0.999, 1.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there, which nothing has to be flushed in
SLOWLY = 0.8, 1.0  # seconds that a slow process stands still, out of so many
DOWN = 0.05, 15.0  # seconds until a process that was killed is started again


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is common to all runs: the policy, who plays its roles, and what may go wrong."""

    policy: Policy
    faults: Faults
    given: Mapping[str, Given]
    makers: Mapping[str, Make]
    conversations: int
    bus: bool
    durable: bool = False
    lasting: bool = False  # whether processes may be killed until all is over, and not only in the first seconds


class Problem(NamedTuple):
    """A rule that was broken, what happened in words, and in which conversation, where that is known."""

    rule: str
    words: str
    conversation: bytes = b""


class World:
    """The run of one seed. `run` plays it; then `record`, `wire`, `plan` and `problems` say what happened.

    With `only`, these faults happen and no others, and at `most` so many conversations are opened at first.
    """

    def __init__(
        self, setting: Setting, seed: int, *, only: tuple[Fault, ...] | None = None, most: int | None = None
    ) -> None:
        self.setting, self.chance, self._most = setting, Chance(seed), most
        self.plan = Plan(self.chance, setting.faults, only=only)
        # What it does not do raises NotImplementedError, as asyncio says that loops may.
        self.loop = Loop(self._step, self._trouble)  # type: ignore[abstract]
        self.record = Record(lambda: self.loop.time() - START)
        self.problems: dict[Problem, None] = {}
        self.raised: dict[str, None] = {}  # by handlers, in words
        self.wire = Wire(
            lambda words, id: self._wrong("is true on the wire", words, id),  # noqa: A006
            durable=setting.durable,
            dropped=self.record.has_left,
        )
        self.moments = Moments()
        self.network = Network(self.loop, self.plan, self.wire, self._happened, self.moments)
        self.troubles: list[tuple[float, Fault, bytes]] = []
        self.processes: dict[str, Process] = {}
        self.castings = {
            role.name: setting.policy.service(Role[Any, Any](role.name)).part for role in setting.policy.roles
        }
        self.opener = opener(setting.policy)
        self.disks: dict[str, Disk] = {}
        self._failing: dict[str, set[int]] = {}  # commits that do not succeed
        self._torn: dict[str, dict[int, float]] = {}  # commits of which only a share is written
        self._folder: Path | None = None  # of the journals that are in files
        self._folders: ExitStack
        self._kills: dict[str, dict[int, bool]] = {}
        self._programs: dict[str, Program] = {}
        self.unfit: PolicyError | None = None
        self.healed: float | None = None  # when the second act began
        self._quiet_from = START
        self._leaving = False

    # ------------------------------------------------------------------------------------------- the acts

    def run(self) -> World:
        """Play the run, and return it."""
        with listening(self._logged), seeded(self.chance), ExitStack() as self._folders:
            setting = self.setting
            self.jobs = Jobs(self.moments.differs)
            self._cast()
            self._schedule()
            self._play("the conversations", self._over)
            if self.plan.happened or setting.lasting:
                self._settle()
                self.healed = self.record.now()
                self.jobs.ask()
                self._play("a conversation after all is well again", self._over)
            self._leave()
        if self.unfit is not None:
            raise self.unfit
        return self

    def _over(self) -> bool:
        """Whether everything is over that was asked for. Somebody who lies may keep a conversation from its end."""
        lied = self.wire.lied
        if any(part.conversation.id not in lied for part in self.record.open):
            return False
        return self.jobs.done or (bool(self.record.open) and self.jobs.begun)

    def _settle(self) -> None:
        """Run until everybody is there, and all know it of each other; from then on nothing goes wrong."""
        before = -1
        while before < len(self.plan.happened):
            before = len(self.plan.happened)
            self.loop.run(self.loop.time() + TO_THE_END, lambda: all(each.alive for each in self.processes.values()))
            self.loop.run(self.loop.time() + SETTLES, lambda: False)
        self._quiet()

    def _play(self, what: str, over: Callable[[], bool]) -> None:
        """Run until an act is over, and not before the trouble that is to come."""
        self.loop.run(self._quiet_from, lambda: False)
        self.record.tell("all", f"from here on nothing goes wrong: {what}")
        ends = self.loop.run(self.loop.time() + TO_THE_END, over)
        if self.wire.lied:
            self.jobs.abandon()
        if not ends:
            for part in self.record.open:
                where = f"{part.process.name} is in {part.machine.name(part.state)}"
                self._wrong("comes to an end", f"{what} do not come to an end: {where}", part.conversation.id)
            if not self.record.open:
                self._wrong("comes to an end", f"{what} do not come to an end: {self.opener} is not done")

    def _leave(self) -> None:
        self._leaving = True
        self.record.tell("all", "everybody is asked to leave")
        for process in self.processes.values():
            if process.plays:
                process.leave()
        # The bus goes last: players say goodbye over it.
        self.loop.run(self.loop.time() + TO_THE_END, lambda: len(self.loop.tasks) <= self.setting.bus)
        if BUS in self.processes:
            self.processes[BUS].leave()
        self.loop.run(self.loop.time() + TO_THE_END, lambda: not self.loop.tasks)
        for task in self.loop.tasks:
            self._wrong("leaves nothing behind", f"{task.get_name()} is left over: {task.get_coro()!r}")
        for process in self.processes.values():
            process.kill()
        for disk in self.disks.values():
            disk.crash()
            disk.keep()
        self.loop.close()

    def _logged(self, words: str) -> None:
        """Note what the code of a process has raised."""
        process = PROCESS.get()
        if process is not None:
            self.raised.setdefault(f"{process.name}: {words}")
            self.record.tell(process.name, f"raises {words}")

    def _wrong(self, rule: str, words: str, conversation: bytes = b"") -> None:
        """Note that a rule was broken."""
        self.problems.setdefault(Problem(rule, words, conversation))

    # -------------------------------------------------------------------------------------------- the cast

    def _cast(self) -> None:
        setting = self.setting
        if setting.bus:
            self._programs[BUS] = self._bus
        for role in setting.policy.roles:
            players = 1
            if setting.bus and role.name != self.opener:
                players += self.chance.hits(0.3, "two players", role.name)
            for number in range(1, players + 1):
                name = role.name if players == 1 else f"{role.name} {number}"
                self._programs[name] = self._player(role.name, name)
        for name in self._programs:
            self._kills[name] = {}
            self._after(self.chance.between(0, 0.3, "start", name), self._start, name)

    async def _bus(self, process: Process) -> None:
        bus = ServiceBus(self.network.link("there"))
        await bus.start()
        await process.left()
        bus.close()

    def _player(self, role: str, name: str) -> Program:
        setting = self.setting
        casting = self.castings[role]

        def program(process: Process) -> Any:
            def improvises(what: str) -> Improviser:
                # What is for one conversation is the same when a script is run again in another process.
                chance = self.chance.stream("improvises", role, what, "" if what else f"{name} {process.life}")
                return Improviser(casting, Messages(chance, setting.makers, constants(setting.policy)), chance)

            stage = Stage(
                policy=setting.policy,
                role=role,
                link=self.network.link("there", broker=setting.bus),
                improvised=Improvised(
                    setting.policy,
                    role,
                    improvises,
                    find=lambda id: self.record.part(id, process),  # noqa: A006
                    unfit=self._nothing_fits,
                    journal=self._disk(name),
                ),
                journal=self._disk(name),
                jobs=self.jobs if role == self.opener else None,
                given=setting.given.get(role),
                scripted=self.chance.hits(0.5, "scripted", name),
                thinks=self.chance.hits(0.5, "thinks", name),
                wrong=lambda problem: self._raised(name, problem),
            )
            return program_of(stage)(process)

        return program

    def _disk(self, name: str) -> Disk | None:
        """Return the disk of a process, which outlives it."""
        if self.setting.durable and name not in self.disks:
            self.disks[name] = Disk(
                self.loop.time,
                lambda: self._commits(name),
                lambda: self._after(0.0, self._ends, self.processes[name]),
                file=self._file(name) if name in self._torn else None,
            )
        return self.disks.get(name)

    def _file(self, name: str) -> Path:
        """Return where the journal of a process is, when it has to be in a file."""
        if self._folder is None:
            where = _MEMORY if _MEMORY.is_dir() else None
            folder = tempfile.TemporaryDirectory(prefix="convpolicy-", dir=where)
            self._folder = Path(self._folders.enter_context(folder))
        return self._folder / f"{name}.db"

    def _commits(self, name: str) -> Fate:
        """A process is about to commit; it is killed at it, or that fails, or what has come is on its disk."""
        process, disk = self.processes[name], self.disks[name]
        disk.commits += 1
        process.step(f"commits, {disk.commits}")
        self.moments.commits(disk.commits)
        self.moments.differs(name)
        share = self._torn.get(name, {}).get(disk.commits)
        if share is not None and not self.plan.quiet:
            self._tears(process, disk, share)
        if disk.commits in self._failing.get(name, ()) and not self.plan.quiet:
            self._happened(Fault("disk", name, disk.commits))
            if self.chance.hits(0.5, "lost", name, disk.commits):
                return Fate.LOST
            self.wire.committed(name)
            return Fate.UNSURE
        self.wire.committed(name)
        return Fate.KEPT

    def _tears(self, process: Process, disk: Disk, share: float) -> None:
        """The machine of a process fails while it writes a commit."""
        self._happened(Fault("torn", process.name, disk.commits, share))
        kept = disk.tear(share, zeros=self.chance.hits(0.5, "zeros", process.name, disk.commits))
        if kept is None:
            self._wrong("is kept", f"commit {disk.commits} of {process.name} is there in parts, or others are gone")
        elif kept:
            self.wire.committed(process.name)
        process.fail()

    def _ends(self, process: Process) -> None:
        """A process whose journal has failed ends, as it must."""
        if process.alive:
            process.end()

    def _start(self, name: str) -> None:
        """Start a process, or start it again."""
        before = self.processes.get(name)
        life = 0 if before is None else before.life + 1
        process = Process(name, life, self.loop, self._kills[name], self._takes)
        process.steps = 0 if before is None else before.steps
        self.moments.differs(name)
        new_bytes = self.chance.stream("bytes", name, life).randbytes
        process.context.run(SURROUNDINGS.set, Surroundings(new_bytes, self.record.onlooker(process)))
        process.plays = name != BUS
        self.processes[name] = process
        process.owns(lambda: self._died(process))
        self.record.tell(name, f"starts, life {life}")
        process.start(self._programs[name]).add_done_callback(
            lambda task: self._returned(process, task), context=self.network.context
        )
        if self._leaving:
            process.leave()

    def _takes(self, process: Process, what: str) -> None:
        self.record.tell(process.name, what)
        self.moments.takes(process.name, process.steps)

    def _nothing_fits(self, problem: NothingFits) -> None:
        self.unfit = problem

    def _raised(self, name: str, problem: BaseException) -> None:
        self._wrong("raises nothing", f"the script of {name} raised {type(problem).__name__}: {problem}")

    def _died(self, process: Process) -> None:
        self.record.died(process)
        self.wire.gone(process.name)
        if process.name in self.disks:
            self.disks[process.name].crash()
            self.jobs.again(process)
        if process.killed:
            self._happened(Fault("outage" if process.silent else "crash", process.name, process.steps))
        self._again(process)

    def _returned(self, process: Process, task: asyncio.Task[None]) -> None:
        """Start a program again that has ended of its own: the other side was not there in time."""
        problem = None if task.cancelled() else task.exception()
        if process.alive and not self._leaving:
            self.record.tell(process.name, f"has ended: {problem!r}")
            if isinstance(problem, PolicyError):
                self.unfit = problem
            elif problem is not None and not isinstance(problem, LinkError | ConversationError | JournalFailed):
                self._wrong("raises nothing", f"{process.name} raised {type(problem).__name__}: {problem}")
            process.end()

    def _again(self, process: Process) -> None:
        wait = self.chance.between(0, 1, "down", process.name, process.life)
        low, high = DOWN
        self._after(low + (high - low) * wait**3, self._start, process.name)

    # ---------------------------------------------------------------------------------------------- the plot

    def _after(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        self.network.after(seconds, function, *arguments)

    def _schedule(self) -> None:
        """Decide when conversations are opened, and what goes wrong when."""
        count = 1 + int(self.setting.conversations * self.chance.number("conversations"))
        times = sorted(self.chance.between(0, SPAN / 2, "asks", number) for number in range(count))[: self._most]
        for at in times:
            self._after(at, self.jobs.ask)
        plan = self.plan
        names = tuple(name for name in self._programs if name not in self.setting.faults.spares)
        for kind in ("crash", "outage"):
            for fault in plan.events(kind, names, LAST_STEP):
                self._kills[fault.where][max(1, int(fault.at))] = kind == "outage"
        ways = [f"{a}→{b}" for a, b in permutations(names, 2)]
        self._schedule_commits(tuple(name for name in names if name != BUS))
        timed = [
            *(plan.events("clock", names, SPAN, *JUMPS) if self.setting.durable else ()),
            *(plan.events("full", names, SPAN, SHORT, LONG / 3) if self.setting.durable else ()),
            *plan.events("slow", names, SPAN, SHORT, SPAN),
            *plan.events("cut", names, SPAN),
            *plan.events("pause", names, SPAN, SHORT / 4, SHORT, LONG),
            *plan.events("partition", [*ways, *(way.replace("→", "↔") for way in ways)], SPAN, SHORT / 4, SHORT, LONG),
        ]
        for fault in timed:
            self._after(fault.at, self._happens, fault)
        kills = any(self._kills.values()) and not self.setting.lasting
        frames = SPAN if plan.hits_frames or kills else 0.0
        self._quiet_from = (
            START
            + max([*times, frames, *(fault.at + max(0.0, fault.value) for fault in timed if fault.kind != "clock")])
            + 0.001
        )
        if not self.setting.lasting:
            self._after(SPAN, self._quiet)

    def _schedule_commits(self, players: tuple[str, ...]) -> None:
        """Decide which commits fail, and which are torn."""
        for fault in self.plan.events("disk", players, LAST_COMMIT):
            self._failing.setdefault(fault.where, set()).add(max(1, int(fault.at)))
        for fault in self.plan.events("torn", players, LAST_COMMIT, *SHARES) if self.setting.durable else ():
            self._torn.setdefault(fault.where, {})[max(1, int(fault.at))] = fault.value

    def _quiet(self) -> None:
        self.moments.are_over()
        self.plan.quiet = True
        for kills in self._kills.values():
            kills.clear()

    def _happened(self, fault: Fault, frame: bytes = b"") -> None:
        """Note that something went wrong, and with what frame."""
        self.plan.note(fault, self.record.now())
        self.record.tell(fault.where, str(fault))
        self.troubles.append((self.record.now(), fault, frame))

    def _happens(self, fault: Fault) -> None:
        self._happened(fault)
        match fault.kind:
            case "cut":
                self.network.cut(fault.where)
            case "pause":
                self._pause(fault)
            case "slow":
                self._slows(fault)
            case "full":
                self._fills(fault.where, full=True)
                self._after(fault.value, lambda: self._fills(fault.where, full=False))
            case "clock":
                if fault.where in self.disks:
                    self.disks[fault.where].jumped += fault.value
            case _:
                sender, _, receiver = fault.where.partition("→" if "→" in fault.where else "↔")
                self.network.close_way(sender, receiver, fault.value)
                if "↔" in fault.where:
                    self.network.close_way(receiver, sender, fault.value)

    def _pause(self, fault: Fault) -> None:
        process = self.processes.get(fault.where)
        if process is not None:
            process.paused_until = max(process.paused_until, self.loop.time() + fault.value)

    def _slows(self, fault: Fault) -> None:
        still, of = SLOWLY
        first = of - self.loop.time() % of  # the same moments when it is slow twice: it gets somewhere in between
        for number in range(int(fault.value / of)):
            self._after(first + number * of, self._pause, Fault("pause", fault.where, fault.at, still))

    def _fills(self, name: str, *, full: bool) -> None:
        if name in self.disks:
            self.disks[name].fill(full=full)

    # ----------------------------------------------------------------------------------------- under the hood

    def _step(self, call: Call) -> None:
        process = call.context.get(PROCESS)
        if process is None:
            self.loop.perform(call)
        else:
            process.run(call)

    def _trouble(self, trouble: Trouble) -> None:
        problem = trouble.get("exception")
        if not isinstance(problem, Killed | JournalFailed):  # whoever waited for that is gone
            self._wrong("raises nothing", f"{trouble['message']}: {problem!r}")
