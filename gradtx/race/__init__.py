"""The command `gradtx race` trains one network with several optimizers, on the same data and the same batches."""
