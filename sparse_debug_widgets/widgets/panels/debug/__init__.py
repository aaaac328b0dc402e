"""The Debug panel."""
