"""From files to files: stacks, many images, volumes larger than memory, and projects."""
