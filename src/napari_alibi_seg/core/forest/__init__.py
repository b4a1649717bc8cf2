"""From scribbles to a classifier, its votes and its files."""
