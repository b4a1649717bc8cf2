"""Backbones: their names, weights and geometry, and probes of their positional bias."""
