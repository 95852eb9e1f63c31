"""Train a stage: `python train.py --model 1..4 --checkpoints DIR`."""

from main import main

if __name__ == "__main__":
    raise SystemExit(main(command="train"))
