"""Hair, hats, glasses and clothes of the synthetic people: one mesh of all garments over the head's topology.

The seam for the engine: `wear_mesh`, `draw_wear`, `detail`; layers and rules in docs/synthetic.md.
"""

from pyface3d.data.synthetic.wear.detail import detail
from pyface3d.data.synthetic.wear.draw import draw_wear, place_wear, wear_geometry, wear_mesh
from pyface3d.data.synthetic.wear.parts import Part, Wear, WearMesh

__all__ = ["Part", "Wear", "WearMesh", "detail", "draw_wear", "place_wear", "wear_geometry", "wear_mesh"]
