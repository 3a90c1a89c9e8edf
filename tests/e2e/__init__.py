"""The frozen programs with real runtimes and plugins."""
