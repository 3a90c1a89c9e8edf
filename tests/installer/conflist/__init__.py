"""Tests of conflist."""
