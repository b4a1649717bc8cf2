"""How good a segmentation is, where to paint next, and what its fractions are."""
