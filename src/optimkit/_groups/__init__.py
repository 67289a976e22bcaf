"""Parameter groups: build them by rule, split a model, change them while training."""
