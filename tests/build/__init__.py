"""The frozen tree."""
