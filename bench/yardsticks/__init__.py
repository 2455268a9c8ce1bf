"""What others cost in the same run, when they are present: each gives a `Target` or says why it cannot."""
