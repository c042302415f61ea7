"""Conversations simulated: the real code of a policy's processes, in one thread, in virtual time, from one seed.

`simulate` plays them while things go wrong, and checks every run. Nothing here is a model of the library: the services,
players, engines and conversations are those that run over ZeroMQ. What is simulated is what is around them: time, the
network, crashes.
"""

from convpolicy.testing.simulation.exhaust import exhaust
from convpolicy.testing.simulation.faults import Fault, Faults
from convpolicy.testing.simulation.report import Failure, Report
from convpolicy.testing.simulation.simulate import simulate

__all__ = ["Failure", "Fault", "Faults", "Report", "exhaust", "simulate"]
