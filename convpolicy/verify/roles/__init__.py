"""What a role has of a policy: its machine, as small as it can be, and the places where one may enter it."""
