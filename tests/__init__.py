"""Tests of cni/, which they mirror, and of what this repository publishes."""
