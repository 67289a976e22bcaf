"""Keep model, optimizer and all that goes with them: save, and resume with nothing lost."""
