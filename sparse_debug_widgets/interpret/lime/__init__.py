"""LIME on many features at once: parts of pictures, words of sentences, word clouds."""
