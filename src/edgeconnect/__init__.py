"""EdgeConnect: image inpainting that draws the edges of a hole first and paints along them (arXiv:1901.00212)."""

__version__ = "0.1.0"
