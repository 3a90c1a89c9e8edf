"""Reads what the checks look at: the node's files and sockets, BIRD, and the API. Nothing here writes anything."""
