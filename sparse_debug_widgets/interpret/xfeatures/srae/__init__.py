"""The explanation network: from a layer's activations to x-features and back."""
