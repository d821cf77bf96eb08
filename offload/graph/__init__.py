"""The network as data: layers, tensors and cuts."""
