"""One function for each task, as the command line and a notebook call it."""
