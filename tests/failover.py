"""A primary as a program of its own, which takes a question and never answers; and the policy of its conversations.

`python failover.py URL` connects to the service bus there.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from convpolicy import Bus, Policy, choice, crash, roles, send, seq


class Ask(NamedTuple):
    question: str


class Answer(NamedTuple):
    text: str


class Unneeded(NamedTuple):
    pass


Client, Primary, Backup = roles("Client", "Primary", "Backup")

failover = Policy(
    "Failover",
    seq(
        send(Client, Primary, Ask),
        choice(
            Primary,
            seq(send(Primary, Client, Answer), send(Client, Backup, Unneeded)),
            seq(crash(Primary, at=Client), send(Client, Backup, Ask), send(Backup, Client, Answer)),
        ),
    ),
    reliable=(Client, Backup),
)

if __name__ == "__main__":
    primary = failover.service(Primary)

    @primary.on(Ask)
    def ask(ask: Ask) -> None:
        print(f"asked {ask.question}", flush=True)

    primary.run(via=Bus(sys.argv[1], broker=True), started=lambda url: print(url, flush=True))
