"""One module per command of the program; each imports heavy modules only inside its command."""
