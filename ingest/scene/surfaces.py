"""Triangles of meshes and height fields, as one run of bytes that a page reads in place."""

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float, Int


class Surfaces:
    """The meshes of a scene, each once however many geoms have it.

    Attributes:
        places: of each mesh: where in the bytes its vertices and its faces begin, and how many there are.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.places: list[dict[str, Any]] = []
        self._model = model
        self._number: dict[tuple[str, int], int] = {}
        self._pieces: list[bytes] = []
        self._end = 0

    def of_mesh(self, mesh: int) -> int:
        """Return the number of one of the model's meshes among the scene's."""
        model = self._model
        if ("mesh", mesh) not in self._number:
            at, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
            face, n_faces = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
            vertices, faces = model.mesh_vert[at : at + count], model.mesh_face[face : face + n_faces]
            self._number["mesh", mesh] = self._add(vertices, faces)
        return self._number["mesh", mesh]

    def of_height_field(self, field: int) -> int:
        """Return the number of the surface of one of the model's height fields among the scene's meshes."""
        if ("hfield", field) not in self._number:
            self._number["hfield", field] = self._add(*_height_field(self._model, field))
        return self._number["hfield", field]

    def data(self) -> bytes:
        """Return vertices (float32) and faces (uint32) of all meshes, little-endian."""
        return b"".join(self._pieces)

    def _add(self, vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> int:
        place = {"vertices": [self._end, len(vertices)]}
        self._append(np.ascontiguousarray(vertices, "<f4").tobytes())
        place["faces"] = [self._end, len(faces)]
        self._append(np.ascontiguousarray(faces, "<u4").tobytes())
        self.places.append(place)
        return len(self.places) - 1

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._end += len(piece)


def _height_field(
    model: mujoco.MjModel, field: int
) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"]]:
    """Return the upper surface of a height field, in the geom's frame: two triangles a cell, seen from above."""
    n_rows, n_columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
    radius_x, radius_y, height, _ = model.hfield_size[field]
    at = int(model.hfield_adr[field])
    heights = model.hfield_data[at : at + n_rows * n_columns].reshape(n_rows, n_columns)
    x, y = np.meshgrid(np.linspace(-radius_x, radius_x, n_columns), np.linspace(-radius_y, radius_y, n_rows))
    vertices = np.stack([x, y, height * heights], axis=-1).reshape(-1, 3)
    corner = (np.arange(n_rows - 1)[:, None] * n_columns + np.arange(n_columns - 1)).ravel()
    right, above = corner + 1, corner + n_columns
    faces = np.concatenate([np.stack([corner, right, above], 1), np.stack([right, above + 1, above], 1)])
    return vertices, faces
