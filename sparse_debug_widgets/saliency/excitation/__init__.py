"""Excitation backprop: the forward pass remembered, the rules, mass sent down."""
