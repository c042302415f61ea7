"""One round of chaos: a town is built and disturbed, then left in peace until it is done, and then compared."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .mischief import Measure, Mischief
from .topologies import TOPOLOGIES
from .town import Failed, Town, until


@dataclass(frozen=True)
class Outcome:
    """What came of it: true when nothing is wrong. `did` says in words what the town has done meanwhile."""

    topology: str
    measure: Measure
    seed: int
    seconds: float
    did: str
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        head = f"{self.topology}, seed {self.seed}: {self.measure} in {self.seconds:.0f} s; {self.did}"
        more = [f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else []
        return "\n  ".join([head, *self.problems[:20], *more])


async def havoc(
    topology: str,
    measure: Measure,
    seed: int,
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Disturb a town of this kind so much. What its programs say is kept in `folder`, when there is one."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return await havoc(topology, measure, seed, folder=Path(temporary), progress=progress)
    kind, started = TOPOLOGIES[topology], time.monotonic()
    did, problems = "", list[str]()
    async with Town(folder) as town:
        await kind.build(town)
        try:
            await town.start()
            await Mischief(town, measure, seed, spared=kind.spared).run(progress)
            await until(lambda: kind.well(town), "not all get somewhere when all is well again")
            town.enough.touch()
            for name, program in town.programs.items():
                if name.startswith(kind.ends):
                    await program.ends()
            problems, did = list(kind.compare(town)), kind.tells(town)
        except Failed as problem:
            problems.append(str(problem))
    return Outcome(topology, measure, seed, time.monotonic() - started, did, tuple(problems))
