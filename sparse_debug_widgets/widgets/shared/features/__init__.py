"""The features behind a path as panels show them: their examples, what is found for them, their card."""
