"""How the weights that come with the program were made; each runs with `python -m`."""
