"""Networks that come with the program: the papers' own benchmarks and modern ones, as plain torch modules."""
