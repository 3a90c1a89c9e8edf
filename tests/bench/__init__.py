"""`make bench`: the frozen plugin beside upstream's Go plugin, in one interleaved run."""
