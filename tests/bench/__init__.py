"""`make bench`: measures the frozen plugin and upstream's Go plugin, one call of each in turn."""
