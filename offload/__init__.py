"""Decide whether, where and in what form to offload a neural network, and prove it."""

__version__ = "0.1.0"
