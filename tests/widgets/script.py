"""JavaScript as a search reads it, however the formatter breaks its lines."""

import re


def flat(text: str) -> str:
    """A text that is written in pieces in one piece, and a call on one line."""
    text = re.sub(r'"\s*\+\s*"', "", text)
    text = re.sub(r'(\w:)\s*\n\s*"', r'\1 "', text)
    text = re.sub(r"([(\[])\s*\n\s*", r"\1", text)
    text = re.sub(r",?\s*\n\s*([)\]])", r"\1", text)
    return re.sub(r'([\w")\]],)\s*\n\s*(?=["\[`])', r"\1 ", text)
