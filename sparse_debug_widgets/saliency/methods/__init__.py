"""The saliency methods and their registry."""
