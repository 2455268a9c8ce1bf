"""The servers behind the gateway while it is measured: one that costs next to nothing, and real ones."""
