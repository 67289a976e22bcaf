"""Look into an optimizer: what it holds, what is wrong with it, what has changed."""
