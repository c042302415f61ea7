"""Services: a role played in many conversations at once, by handlers."""
