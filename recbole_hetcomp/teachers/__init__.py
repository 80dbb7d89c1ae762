"""Teachers: the protocol, the pool that trains or finds them, their recorder and ensemble, and models of our own."""
