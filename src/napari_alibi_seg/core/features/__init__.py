"""Patch features: made in tiles, kept, and interpolated at pixels."""
