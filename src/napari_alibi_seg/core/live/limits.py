"""How many bytes the live engine keeps between requests. Imports nothing."""

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
