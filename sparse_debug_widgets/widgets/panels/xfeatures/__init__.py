"""The x-feature panel."""
