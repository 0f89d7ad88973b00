"""Other libraries' attribution under the same meter, and our chains in the form that others call."""
