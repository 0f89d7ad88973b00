"""Methods that are not backpropagated layer by layer. Touch them by name: `conetheory.rules.get_method`."""

__all__: list[str] = []
