"""Print what becomes of some runs: their whole logs, as one number."""

from __future__ import annotations

import hashlib

from convpolicy import Policy
from convpolicy.policy import gallery
from convpolicy.testing.simulation import Faults
from convpolicy.testing.simulation.simulate import setting_of
from convpolicy.testing.simulation.world import World

seen = hashlib.sha256()
for name in ("purchase", "shipping"):
    setting = setting_of(Policy.load(gallery.path(name)), faults=Faults.all())
    for seed in range(8):
        world = World(setting, seed).run()
        seen.update("\n".join(map(str, world.record.events)).encode())
print(seen.hexdigest())
