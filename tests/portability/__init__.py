"""Tests that the frozen tree runs anywhere: without any C library, in other Debians, in hostile surroundings."""
