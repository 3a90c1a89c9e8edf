"""Placeholder."""

from cni.doctor.check import Check

CHECKS: tuple[Check, ...] = ()
