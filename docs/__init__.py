"""Pages about the project, and what keeps them true."""
