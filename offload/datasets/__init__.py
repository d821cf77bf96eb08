"""Labelled examples to train codecs on and to measure accuracy with."""
