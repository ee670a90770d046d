"""The processes of the stack, and the supervisor that keeps them up."""
