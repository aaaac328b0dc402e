"""The Saliency panel."""
