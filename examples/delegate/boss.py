"""The boss: `python boss.py [ADDRESS]` divides jobs among workers, two at a time. It runs until Ctrl-C."""

import sys
from collections.abc import Iterator
from typing import cast

from messages import ADDRESS, Boss, Done, Job, Leading, Left, Result, Right, Task, delegate

from convpolicy import Bus, ConvPolicyError, Dialogue, Invited, Returned

boss = delegate.service(Boss)
leading = boss.nested("Work", Leading)


class Rest:
    """What is left of a job, and what has been found."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers, self.sum = numbers, 0


def todo(conversation: Dialogue[Result] | Dialogue[Task]) -> Rest:
    """Return what is left: what handlers remember is common to both conversations."""
    return cast("Rest", conversation.data["rest"])


@boss.on(Job)
def begin(job: Job, conversation: Dialogue[Result]) -> Iterator[Result]:
    print(f"Boss received {job}")
    conversation.data["rest"] = Rest(list(job.numbers))
    yield from more(conversation)


@boss.on(Returned)
def back(returned: Returned, conversation: Dialogue[Result]) -> Iterator[Result]:
    print(f"Boss is back from {returned.protocol}")
    yield from more(conversation)


def more(conversation: Dialogue[Result]) -> Iterator[Result]:
    """Call in two workers while two numbers are left; the boss does an odd one itself."""
    rest = todo(conversation)
    if len(rest.numbers) > 1:
        conversation.start("Work")
    else:
        yield Result(rest.sum + sum(number**2 for number in rest.numbers))


@leading.on(Invited)
def divide(invited: Invited, conversation: Dialogue[Task]) -> None:
    print(f"Boss leads {invited.protocol}")
    rest = todo(conversation)
    for worker in (Left, Right):
        conversation.tell(Task(rest.numbers.pop()), to=worker)


@leading.on(Done)
def add(done: Done, conversation: Dialogue[Task]) -> None:
    print(f"Boss received {done} from {conversation.sender}")
    todo(conversation).sum += done.answer


if __name__ == "__main__":
    bus = Bus(sys.argv[1] if len(sys.argv) > 1 else ADDRESS, broker=True)
    try:
        boss.run(via=bus, started=lambda url: print(f"Boss is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
