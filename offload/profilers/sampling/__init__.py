"""Small random networks, measured to learn what kernels cost."""
