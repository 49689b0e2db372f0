"""One module per file format; ``blockface.stack.open_stack`` chooses between them."""
