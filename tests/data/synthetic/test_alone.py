"""Synthetic faces are drawn on bare machines: torch and numpy must be all that is needed."""

import subprocess
import sys

import numpy as np
import pytest

_BLOCKED = ("scipy", "cv2", "PIL", "safetensors")

_PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import numpy as np
from pyface3d.data.synthetic import labels, people, views
from pyface3d.data.synthetic.assets import load_assets
from pyface3d.ops import rasterize

def generators(stage):
    return [np.random.default_rng([0, index, stage]) for index in range(3)]

drawn = people.draw_people(load_assets({path!r}), generators(people.STAGE))
seen = views.draw_views(generators(views.STAGE), drawn, 64)
fragments = rasterize(seen.image(drawn.verts), drawn.model.topology, 128, 128)
found = labels.labels(drawn, seen, fragments, drawn.model.topology)
assert found.visible_dense.any() and found.points68.isfinite().all()
print("drawn")
"""


@pytest.mark.parametrize("blocked", [_BLOCKED])
def test_people_views_and_labels_need_torch_and_numpy_only(head_assets, tmp_path, blocked):
    path = tmp_path / "assets.npz"
    np.savez(path, **{key: value.numpy() for key, value in head_assets.items()})
    program = _PROGRAM.format(blocked=blocked, path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "drawn"
