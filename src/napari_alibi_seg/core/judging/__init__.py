"""Assessment of a segmentation, suggestions of where to paint next, and area fractions."""
