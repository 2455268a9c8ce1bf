"""What a running node is told: to read its configuration again, to exchange its workers, to leave, to end."""
