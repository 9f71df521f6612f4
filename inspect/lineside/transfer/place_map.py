"""The golden part's anomaly map, put back into the frame that it was seen in.

One GridSample of one channel. Cells of the map lie over the whole frame at the resize rule (outer edges on outer
edges), so that a reader need only enlarge it. Within half a map cell of its edge the golden map is held, not faded:
a defect at the frame's border keeps its height. Beyond the golden canvas nothing was looked at: the map is 0 there.
"""

import torch
from torch import Tensor, nn

from lineside.normalise.geometry import compose, inside, resize_matrix, resize_matrix_of, sample


class PlaceMap(nn.Module):
    """Golden map to frame map; it holds no fitted numbers.

    Parameters
    ----------
    golden_wh : tuple of int
        Size of the golden (working) image, px.
    golden_map_wh, map_wh : tuple of int
        Cells of the golden map, which covers the golden image, and of the map wanted, which covers the frame.
    perspective : bool
        Whether the last row of the transforms is anything but (0, 0, 1).
    """

    def __init__(
        self,
        golden_wh: tuple[int, int],
        golden_map_wh: tuple[int, int],
        map_wh: tuple[int, int],
        perspective: bool = False,
    ) -> None:
        super().__init__()
        self.golden_map_wh, self.map_wh, self.perspective = golden_map_wh, map_wh, perspective
        self.register_buffer("to_cells", torch.from_numpy(resize_matrix(golden_wh, golden_map_wh)), persistent=False)
        self.register_buffer("size", torch.tensor(map_wh, dtype=torch.float32), persistent=False)

    to_cells: Tensor
    size: Tensor

    def forward(self, golden_map: Tensor, transform: Tensor, frame_wh: Tensor) -> Tensor:
        """Place maps in their frames.

        Parameters
        ----------
        golden_map : Tensor of float32 [N, gmh, gmw]
        transform : Tensor of float32 [N, 3, 3]
            Frame pixel -> golden (working) pixel.
        frame_wh : Tensor of float32 [2]
            Width and height of the frame, px.

        Returns
        -------
        Tensor of float32 [N, mh, mw]
            0 where a cell's centre lies outside the golden image.
        """
        matrix = compose(self.to_cells, transform, resize_matrix_of(self.size, frame_wh))  # map cell -> golden cell
        placed = sample(golden_map[:, None], matrix, self.map_wh, self.perspective)
        seen = inside(matrix, self.map_wh, self.golden_map_wh, self.perspective)
        return (placed * seen)[:, 0]
