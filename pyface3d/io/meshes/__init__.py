"""Meshes in files: PLY, OBJ with material and texture, binary glTF; numpy only, no torch."""

from pyface3d.io.meshes.glb import encode_glb, write_glb
from pyface3d.io.meshes.glb_reader import decode_glb, read_glb
from pyface3d.io.meshes.mesh import Mesh, Morphs
from pyface3d.io.meshes.obj import decode_obj, encode_obj, read_obj, write_obj
from pyface3d.io.meshes.ply import encode_ply, write_ply
from pyface3d.io.meshes.ply_reader import decode_ply, read_ply

__all__ = [
    "Mesh",
    "Morphs",
    "decode_glb",
    "decode_obj",
    "decode_ply",
    "encode_glb",
    "encode_obj",
    "encode_ply",
    "read_glb",
    "read_obj",
    "read_ply",
    "write_glb",
    "write_obj",
    "write_ply",
]
