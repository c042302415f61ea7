"""A service bus as a process; with `--enforce` it holds everybody to the policy."""

from __future__ import annotations

import sys

from convpolicy import Bus, ServiceBus

from .programs import end_with_parent, tell
from .purchase import purchase

if __name__ == "__main__":
    end_with_parent()
    enforced = [purchase] if "--enforce" in sys.argv else []
    ServiceBus(Bus("tcp://127.0.0.1:0"), enforce=enforced, grace=0).run(started=tell)
