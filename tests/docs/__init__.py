"""The documentation says what the program does: its commands are run, its lists compared, its pictures drawn again."""
