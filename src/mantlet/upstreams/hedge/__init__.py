"""A call that takes long is made a second time, and the first answer counts."""
