"""The surveyor: `python surveyor.py [WIRING] PEOPLE [SECONDS]` waits for so many people (10), and asks them twice.

It waits at most so many seconds (60) for the answers, and shows how many have come. Whoever comes late gets the
second questionnaire.
"""

import asyncio
import sys
from collections import Counter as Tally

from messages import Counted, Finished, Left, Questionnaire, Surveyor, survey, wiring, words
from rich.console import Console
from rich.progress import Progress

from convpolicy import ConvPolicyError, WiredScript

Says = Questionnaire | Finished
Hears = Counted | Left

ASKED = (
    Questionnaire(1, ["Do you like chairs?", "Do you like tables?"]),
    Questionnaire(2, ["And lamps?"]),
)


async def ask(everybody: WiredScript[Says, Hears], asked: Questionnaire, people: int, seconds: float) -> int:
    """Ask, count while answers come, show what they are, and return how many came."""
    await everybody.send(asked)
    tallies = [Tally[int]() for _ in asked.questions]
    came = left = 0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task(f"Questionnaire {asked.number}", total=people)
        async for one in everybody.threads(within=seconds):
            answer = await one.receive(Counted, Left)
            came += 1
            bar.update(shown, completed=came)
            if isinstance(answer, Left):
                left += 1
            else:
                for tally, value in zip(tallies, answer.answers, strict=True):
                    tally[value] += 1
            if came == people:
                break
    print(f"{came} of {people} came, {left} of them would rather not say")
    for question, tally in zip(asked.questions, tallies, strict=True):
        print(f"  {question:24}", *(f"{value}: {tally[value]:<4}" for value in range(1, 6)), flush=True)
    return came


async def main(people: int, seconds: float) -> bool:
    """Wait for the people, ask them all, and return whether all have answered."""
    async with survey.join(Surveyor, via=wiring()) as everybody:
        print(f"Surveyor waits for {people}", flush=True)
        await everybody.ready(people, timeout=seconds)
        came = [await ask(everybody, asked, people, seconds) for asked in ASKED]
        await everybody.send(Finished())
    return came == [people] * len(ASKED)


if __name__ == "__main__":
    people, seconds = (*map(int, words()), 60)[:2] if words() else (10, 60)
    try:
        sys.exit(not asyncio.run(main(people, seconds)))
    except (ConvPolicyError, TimeoutError) as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
