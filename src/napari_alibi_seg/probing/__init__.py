"""Measure positional bias: how well a backbone's features predict where a patch lies."""
