"""Networks given a role: normalizer, autoencoder, operator, emulator, baselines."""
