"""Complete pictures: `python test.py --checkpoints DIR --input X --mask Y --output O`."""

from main import main

if __name__ == "__main__":
    raise SystemExit(main(command="test"))
