"""Where secrets come from besides the config file itself: files, the environment, the system's keyring, a vault."""
