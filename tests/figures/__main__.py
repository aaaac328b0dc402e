"""``poe figures``: measure every figure that the documents print, and print them."""

from tests.figures.measure import measure
from tests.figures.printed import write

write(measure())
