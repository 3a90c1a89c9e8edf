"""The node: its folders, files, locks, its agent and its pending releases."""
