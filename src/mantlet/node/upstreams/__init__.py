"""The servers and services of this node: what carries calls to each, what watches them, what they are told."""
