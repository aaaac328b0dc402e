"""One module per panel; panels do not import each other."""
