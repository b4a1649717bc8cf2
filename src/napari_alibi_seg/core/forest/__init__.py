"""From what is painted to a classifier, its votes and its files."""
