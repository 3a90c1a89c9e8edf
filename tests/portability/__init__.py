"""Tests that the frozen tree runs anywhere: in a chroot without any C library, in other Debians, among traps."""
