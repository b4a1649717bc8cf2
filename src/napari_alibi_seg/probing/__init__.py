"""Measures how much of *where* a patch lies is in a backbone's features of given images."""
