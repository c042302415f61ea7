"""What holds for all tests: Hypothesis profiles, and what the processes that tests start find around them.

The profiles are `dev` by hand, `ci` in the gate, `nightly` for long runs (HYPOTHESIS_PROFILE=nightly).
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}

settings.register_profile("dev", max_examples=50, **_common)
settings.register_profile("ci", max_examples=100, derandomize=True, **_common)
settings.register_profile("nightly", max_examples=5_000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# Hundreds of processes are started. Where Python is told to keep no bytecode, each would compile the whole package, and
# that is more than half of what it takes to start one.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all programs that they start,
# some of which are to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """With `-n auto`, half as many workers again as there are cores: half of the time, tests wait for processes."""
    return (os.cpu_count() or 1) * 3 // 2
