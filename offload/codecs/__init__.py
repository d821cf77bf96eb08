"""How tensors cross a cut."""
