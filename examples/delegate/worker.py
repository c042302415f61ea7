"""A worker: `python worker.py Left [ADDRESS]`, and as many as you like of Left and of Right. It runs until Ctrl-C."""

import sys
from argparse import ArgumentParser

from messages import ADDRESS, Done, Left, Right, Task, work

from convpolicy import Bus, ConvPolicyError

parser = ArgumentParser(description=__doc__)
parser.add_argument("role", choices=["Left", "Right"])
parser.add_argument("address", nargs="?", default=ADDRESS)
given = parser.parse_args()

worker = work.service(Left if given.role == "Left" else Right)


@worker.on(Task)
def square(task: Task) -> Done:
    print(f"{given.role} received {task}")
    return Done(task.number**2)


if __name__ == "__main__":
    bus = Bus(given.address, broker=True)
    try:
        worker.run(via=bus, started=lambda url: print(f"{given.role} is connected to {url}"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
