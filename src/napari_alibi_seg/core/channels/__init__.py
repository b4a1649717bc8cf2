"""The channels by which a pixel is classified: projected deep features and pixel filters."""
