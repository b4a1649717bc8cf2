"""The engine behind live painting: interactive, incremental segmentation."""
