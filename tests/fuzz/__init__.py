"""Fuzzing: bytes of any kind where bytes come in; see `make fuzz`."""
