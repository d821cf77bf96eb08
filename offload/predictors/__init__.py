"""Costs of layers that were not measured."""
