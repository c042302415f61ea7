"""Every run of a policy: its graph of positions, the terms where a conversation can be, and the global automaton."""
