"""Methods that are not backpropagated layer by layer: through captum, or written here where it has none."""
