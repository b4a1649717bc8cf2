"""Images: reading files, naming axes, pixel sizes, and the planes that later stages work on."""
