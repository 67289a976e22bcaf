"""What :func:`optimkit.audit` looks for, by what it looks at."""
