"""``python -m tests.zoo`` writes the table anew; with parts of names it tries these and prints."""

from tests.zoo.table import main

main()
