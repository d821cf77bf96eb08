"""Pure functions from artifacts to plans."""
