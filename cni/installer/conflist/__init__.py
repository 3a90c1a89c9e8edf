"""Calico's conflist: reads it, plans what it is to hold, writes that, and restores what it held."""
