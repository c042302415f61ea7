"""The conditions under which every role can tell what to do: what looks alike to it, and who waits for whom."""
