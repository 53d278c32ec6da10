"""What the pages say of keys, plugins, contracts, commands and exit codes, made from the code that decides it."""
