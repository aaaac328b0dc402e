"""The live model, ready to be asked: chunks, targets, inputs, layers that need care."""
