"""A job and those who are called in for it: the messages, the roles, and the policy of the gallery.

In five terminals: `convpolicy bus`, `python worker.py Left`, `python worker.py Right`, `python boss.py` and
`python client.py`.
"""

from typing import NamedTuple

from convpolicy import Policy, Role
from convpolicy.policy.gallery import path

ADDRESS = "tcp://127.0.0.1:5555"  # where `convpolicy bus` listens


class Job(NamedTuple):
    """What is the sum of their squares?"""

    numbers: list[int]


class Result(NamedTuple):
    """This is."""

    sum: int


class Task(NamedTuple):
    """What is the square of this one?"""

    number: int


class Done(NamedTuple):
    """This is."""

    answer: int


Client, Boss = Role[Job, Result]("Client"), Role[Result, Job]("Boss")
delegate = Policy.load(path("delegate"), types=[Job, Result, Task, Done])

Worker = Role[Done, Task]
Left, Right = Worker("Left"), Worker("Right")
Leading = Role[Task, Done]("Boss")  # what the Boss says and hears in the conversation with the workers
work = delegate.called("Work")
