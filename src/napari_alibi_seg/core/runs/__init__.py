"""Runs on files: stacks, batches of images, volumes larger than memory, and projects."""
