"""Training runs where nothing but torch and numpy is installed."""

import subprocess
import sys

_PROGRAM = """
import sys
for name in ("scipy", "cv2", "PIL", "h5py", "safetensors", "tensorboard", "tqdm", "tyro", "dlib", "matplotlib", "onnx"):
    sys.modules[name] = None  # importing it raises ImportError
import pyface3d.networks, pyface3d.losses
import pyface3d.train.parts.export, pyface3d.train.parts.photos
import pyface3d.train.loop, pyface3d.train.points.export, pyface3d.train.points.photos, pyface3d.train.imagenet
import pyface3d.train.points.run, pyface3d.train.parts.run, pyface3d.train.relief.run, pyface3d.train.extreme3d.run
import pyface3d.commands.train
network = pyface3d.networks.create_network("face_points", size=32, features=8)
import torch
print(tuple(network(torch.rand(2, 3, 32, 32)).points.shape))
"""


def test_networks_losses_and_training_import_with_torch_and_numpy_alone():
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(2, 388, 2)"
