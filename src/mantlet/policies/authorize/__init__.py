"""Who may do what: first-match rules, default deny, and lists that show only what may be called."""
