"""The processes at the other ends: who they are, whether they live, and what each is owed."""
