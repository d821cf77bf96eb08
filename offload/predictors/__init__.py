"""Costs of what was never measured: published peak rates and power."""
