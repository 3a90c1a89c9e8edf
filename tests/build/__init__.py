"""Tests of what the recipes in build/ make: frozen tree, release, image, manifests."""
