"""The release's folder of programs, on the node and where this program runs from."""
