"""The bastion: what it is made of, room by room."""
