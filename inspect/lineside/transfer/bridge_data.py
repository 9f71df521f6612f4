"""Working tensors as an anomalib data module.

anomalib reads 8-bit files and resizes them in its own way; here it is handed the float32 tensors that ONNX Runtime
computed with the exported front, so that the model is fitted on exactly what it will see. Writing them to files for
anomalib's `Folder` was rejected: 8 bits, a second resize, and its own normalisation.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def tensor_datamodule(goods: npt.NDArray[np.float32], batch_size: int) -> Any:
    """Return an `AnomalibDataModule` over good working tensors.

    Parameters
    ----------
    goods : ndarray of float32 [n, 3, H, W]
        Training images; all are normal. The validation set is the same images: models that calibrate feature
        statistics on validation images (EfficientAd) find them there, and nothing else of it is used.
    batch_size : int
        Images per training step.
    """
    import torch
    from anomalib.data import AnomalibDataModule, AnomalibDataset, ImageItem

    # torch shares the memory: made writable by a copy, since a trainer may work in place
    images = torch.from_numpy(np.array(goods, dtype=np.float32, order="C"))

    class Tensors(AnomalibDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> Any:
            mask = torch.zeros(images.shape[-2:], dtype=torch.uint8)
            return ImageItem(image=images[index], gt_label=torch.tensor(0), gt_mask=mask)

    class TensorModule(AnomalibDataModule):  # type: ignore[misc]
        def _setup(self, _stage: str | None = None) -> None:
            self.train_data = Tensors()
            self.val_data = self.train_data
            self.test_data = self.train_data

        def _create_test_split(self) -> None:
            """Keep all goods for training."""

        def _create_val_split(self) -> None:
            """Keep all goods for training."""

    return TensorModule(train_batch_size=batch_size, eval_batch_size=batch_size, num_workers=0)
