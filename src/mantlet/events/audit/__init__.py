"""The audit trail: one chained line a decision, signed checkpoints, a verifier that shares no code with the writer."""
