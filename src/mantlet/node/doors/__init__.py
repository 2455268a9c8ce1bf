"""The listeners for calls: opened, drained, and every route behind them."""
