"""The one step that turns an `Arrival` into a `Call`."""
