"""Everything that needs gradients: learned codecs, fine-tuned tails, and the recipes of the zoo's trained networks."""
