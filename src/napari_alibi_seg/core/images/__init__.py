"""Images: files of any kind, their axes and pixel sizes, and planes as later stages see them."""
