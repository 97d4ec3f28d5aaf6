"""What warmtoken is compared with, one competitor a file."""
