"""The start from the image: that it gives the answer of the start without it, everywhere and each time."""
