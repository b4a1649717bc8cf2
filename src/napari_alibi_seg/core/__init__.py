"""The headless core: images and scribbles in, features and segmentations out."""
