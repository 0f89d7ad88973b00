"""Every method: its matrices, its registry, what results say of it.

Touch `registry` (`register`, `get_method`) and `base.Rule`; a rule is a class of some twenty lines, made of
the local maps in `maps`. `explainers/` has the methods that are not backpropagated layer by layer.
"""
