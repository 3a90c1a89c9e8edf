"""Calico's conflist: reading it, planning what it has to hold, writing it, giving it back."""
