"""The step that turns an `Arrival` at a plain HTTP service into a `Call`."""
