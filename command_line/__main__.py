"""`python -m command_line`, or shorter `python3 dev.py goldroll`."""

from command_line.commands import goldroll

if __name__ == "__main__":
    goldroll(prog_name="goldroll")
