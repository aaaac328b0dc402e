"""The Path panel."""
