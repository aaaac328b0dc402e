"""The deep features that are meant: their units, the live model, the examples behind them."""
