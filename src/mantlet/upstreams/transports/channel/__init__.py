"""MCP servers at the other end of a channel of messages: a child's pipes, a socket, a WebSocket.

One channel is shared by all callers, who are told apart by ids of the node's own; what a server is to one caller alone
takes a channel for each session.
"""
