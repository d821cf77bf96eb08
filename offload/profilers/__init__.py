"""Measuring layers and what a connection costs."""
