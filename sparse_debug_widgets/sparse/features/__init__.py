"""Deep features: taken from a live model, kept, labelled, standardised."""
