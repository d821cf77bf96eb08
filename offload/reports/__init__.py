"""Artifacts as tables, CSV and Markdown."""
