"""Would a configuration start here? What typing it cannot tell."""
