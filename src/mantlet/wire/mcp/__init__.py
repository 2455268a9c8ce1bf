"""The Model Context Protocol, both eras: what a message is, what its headers must say, what methods act on."""
