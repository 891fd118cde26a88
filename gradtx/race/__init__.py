"""The command `gradtx race`: the same network, data and batches under several optimizers, side by side."""
