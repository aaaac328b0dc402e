"""The parts that the analyses share: layers side by side, rows that are examined, rates, deep features."""
