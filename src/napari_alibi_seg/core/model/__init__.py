"""Backbones: their names, weights and geometry, and how much they tell of position."""
