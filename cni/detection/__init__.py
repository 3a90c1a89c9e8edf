"""Probes of an address in a pod's network namespace, run as a process of their own."""
