import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parent)
)  # importlib mode adds nothing: `data_files` is shared by the tests here
