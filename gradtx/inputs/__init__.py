"""The data side: feature scaling, batch normalisation, mini-batches."""
