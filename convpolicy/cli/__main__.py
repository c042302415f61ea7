"""`python -m convpolicy.cli`, for where the `convpolicy` script is not on the path."""

from convpolicy.cli import main

if __name__ == "__main__":
    main()
