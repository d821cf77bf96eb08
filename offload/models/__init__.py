"""Where models come from, and how one is divided."""
