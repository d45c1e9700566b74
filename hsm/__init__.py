"""Keys that stay where they are: a library that knows no bastion."""
