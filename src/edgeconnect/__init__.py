"""EdgeConnect: image inpainting that draws the edges of a hole first and paints along them (arXiv:1901.00212)."""

__version__ = "0.1.0"

import os

# PyTorch's threads spin for milliseconds when they wait for each other, which costs dear where other programs run, too.
# Read when PyTorch is first imported; 10,000 rounds take some 30 microseconds.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
