"""The implicit ladder: the ladder of `lean`, trained by a critic of pictures with their codes."""

from collections.abc import Sequence
from dataclasses import replace

from vlae.models.levels import Level
from vlae.objectives.critic import AdversarialELBO
from vlae.recipes.lean import lean
from vlae.recipes.recipe import Recipe
from vlae.shapes import Shape, is_image


def implicit(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int | None = None) -> Recipe:
    """The implicit ladder: the levels of `lean`, trained by a critic that tells (x, z) of data from (x, z) of draws.

    The loss has no likelihood. A code enters the critic at the depth of its level, and drawn pictures must tell the
    code of every level. With `distortion` = 1 the error of each pixel counts beside the critic.

    Reference: Zhao et al. 2017, section 6, who name adversarial training (Tran et al. 2017) as the way beyond pixel
    likelihoods.

    Args:
        shape: shape of one picture: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of each level's code, level 1 first; None: chosen from the shape.
        width: channels of level 1, doubled at each level up to eight times as many; None: that of `lean`.

    Raises:
        ValueError: if the data are vectors, or an image has too many or too few channels or pixels.
    """
    if not is_image(shape):
        raise ValueError(f"the recipe 'implicit' is for images; for vectors of {shape[0]} dimensions choose 'lean'")
    base = lean(shape, code_sizes=code_sizes, width=width)
    levels = [replace(level, gradients=0) if isinstance(level, Level) else level for level in base.levels]
    objective = AdversarialELBO(judged="both", adversarial=1.0, distortion=0.0, beta=0.0, information=0.5, penalty=0.1)
    return replace(base, name="implicit", levels=tuple(levels), objective=objective)
