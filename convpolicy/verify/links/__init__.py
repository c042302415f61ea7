"""Whether links can carry a policy: what they promise, against what its roles need of them."""
