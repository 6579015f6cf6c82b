import os

import torch

# One thread a worker: two threads on busy cores are slower than one, and results do not depend on the load.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
