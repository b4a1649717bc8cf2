"""Limits, in bytes, of what the live engine keeps between requests. Imports nothing.

The forests of a cross-validation have no limit: they take a few megabytes with a few strokes, and
some 170 MB with 60 strokes on noise.
"""

FEATURE_BYTES = 1e9
"""Of feature maps."""
EARLIER_FEATURE_BYTES = 500e6
"""Of feature maps of earlier images."""
CACHED_BYTES = 1.2e9
"""Of blocks of channels."""
PROJECTED_BYTES = 200e6
"""Of projected features."""
DOWNSAMPLED_BYTES = 300e6
"""Of blocks of channels of downsampled planes."""
