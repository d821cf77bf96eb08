"""Artifacts as text: pure functions that neither read nor print."""
