import os
import sys
from pathlib import Path

# the toy is a module of its own, because other processes import it too
HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
shared = [HERE, str(Path(HERE).parent), os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, shared))
