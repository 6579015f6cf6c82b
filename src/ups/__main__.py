"""`python -m ups`: the command line; this is how torchrun starts it."""

from ups.cli import main

main()
