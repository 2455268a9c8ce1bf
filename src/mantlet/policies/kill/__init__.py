"""Kill switches: an agent, a tool, an upstream or a caller that is stopped at once, whatever the rules say."""
