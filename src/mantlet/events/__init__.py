"""What is written down: the audit trail, figures and the log."""
