"""The Perturbation panel."""
