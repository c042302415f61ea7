"""What is done to a town, all from one seed: who is killed, who is stopped, whose connections are reset, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from .town import Program, Town, until

PAUSE = 0.02, 0.25  # seconds between two of them
STOPPED = 0.05, 2.0  # seconds that somebody stands still, where nobody is given up for it
DOWN = 0.5  # seconds at most until who was killed is started again; half of the time at once


class Measure(NamedTuple):
    """How much is done."""

    kills: int
    stops: int
    resets: int

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.stops} stops, {self.resets} resets"


class Mischief:
    """Does it to `town`. Who is in `spared` is not killed: what it knows is not to be had again."""

    def __init__(self, town: Town, measure: Measure, seed: int, *, spared: tuple[str, ...] = ()) -> None:
        self._town, self._chance = town, random.Random(seed)
        self._killable = [name for name in town.programs if name not in spared]
        self._deeds = ["kill"] * measure.kills + ["stop"] * measure.stops + ["reset"] * measure.resets
        self._chance.shuffle(self._deeds)

    async def run(self, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Do all of it, and let everybody come up again."""
        for done, deed in enumerate(self._deeds, 1):
            await asyncio.sleep(self._chance.uniform(*PAUSE))
            await self._do(deed)
            progress(done, len(self._deeds))
        for program in self._town.programs.values():
            await until(lambda program=program: program.up, f"{program.name} does not come up again")

    async def _do(self, deed: str) -> None:
        chance, town = self._chance, self._town
        if deed == "kill":
            await self._kill(town.programs[chance.choice(self._killable)])
        elif deed == "stop":
            await town.programs[chance.choice(list(town.programs))].pause(chance.uniform(*STOPPED))
        else:
            chance.choice(town.proxies).cut()

    async def _kill(self, program: Program) -> None:
        early = self._chance.random() < 0.1  # some die before they are up
        if not early:
            await until(lambda: program.up, f"{program.name} does not come up again")
            await asyncio.sleep(self._chance.uniform(0, 0.3))
        await program.kill()
        if self._chance.random() < 0.5:
            await asyncio.sleep(self._chance.uniform(0, DOWN))
        await program.start()
