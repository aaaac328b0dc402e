"""interpret: what a deep feature means."""
