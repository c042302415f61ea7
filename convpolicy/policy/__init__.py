"""What may be said: policies as values, how to build them, and their text form."""
