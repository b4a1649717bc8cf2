"""What a pixel is classified by: projected features beside filters."""
