"""Methods that are not backpropagated layer by layer."""
