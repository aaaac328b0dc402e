"""The sparse decision layer: found, named, edited, put into the live model."""
