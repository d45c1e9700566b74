"""Authentication factors, real and virtual: a library that knows no bastion."""
