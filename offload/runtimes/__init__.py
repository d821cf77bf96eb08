"""What can run a graph or one side of a cut."""
