"""Whether a policy can be followed, and each role's machine when it can. Pure functions."""
