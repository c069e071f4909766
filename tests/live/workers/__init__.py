"""The Workers of the live suite: one program, three Build IDs of one deployment."""
