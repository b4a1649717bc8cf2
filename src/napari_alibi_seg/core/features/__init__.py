"""Patch features: computed in tiles, cached, and interpolated to pixels."""
