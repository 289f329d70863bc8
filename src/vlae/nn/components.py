"""Principal components of features, fitted once to the training data and then fixed."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_FITTED = 10_000
"""The most rows to which components are fitted; they are chosen at random."""


class PrincipalComponents(nn.Module):
    """The largest principal components of features, all divided by one number, so that their mean variance is 1.

    The components keep their relative sizes: distances between data are those of the features.

    Args:
        num_features: F, the dimensions of the features.
        num_components: K, the number of components, from 1 to F.

    Examples:
        >>> components = PrincipalComponents(3, 2)
        >>> components.fit(np.random.default_rng(0).normal(size=(100, 3)))
        >>> components(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, num_features: int, num_components: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("basis", torch.zeros(num_features, num_components))

    def fit(self, features: np.ndarray) -> None:
        """Fits mean and components to features.

        Args:
            features: (N, F), N above K; at most 10,000 of them are used.

        Raises:
            ValueError: if all of them are the same.
        """
        from sklearn.decomposition import PCA

        rows = np.sort(np.random.default_rng(0).permutation(len(features))[:MAX_FITTED])
        chosen = np.asarray(features[rows], np.float64)
        if not chosen.std(0).max() > 1e-6:
            raise ValueError("the network gives the same features of all pictures; give another network")
        pca = PCA(self.basis.shape[1], svd_solver="full").fit(chosen)
        spread = float(np.sqrt(pca.explained_variance_.mean()))
        self.mean.copy_(torch.from_numpy(pca.mean_))
        self.basis.copy_(torch.from_numpy(pca.components_.T / spread))

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n components"]:
        """The components of features.

        Args:
            features: (n, F), as the network gives them.

        Raises:
            ValueError: if they have another number of dimensions.
        """
        if features.shape[1] != len(self.mean):
            raise ValueError(
                f"the network gives {features.shape[1]} features, the model reads {len(self.mean)}; give the network "
                "that the model was trained with"
            )
        return (features.float() - self.mean) @ self.basis
