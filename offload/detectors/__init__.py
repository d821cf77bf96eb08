"""Detectors of objects: any ONNX model whose outputs are of a declared format, and those that come with the program."""
