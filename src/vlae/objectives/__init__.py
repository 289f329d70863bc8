"""Package."""

from vlae.objectives.elbo import Growth as Growth
from vlae.objectives.elbo import Objective as Objective
from vlae.objectives.elbo import PerLevel as PerLevel
from vlae.objectives.elbo import bits_per_dimension as bits_per_dimension
from vlae.objectives.elbo import distortion as distortion
from vlae.objectives.elbo import elbo as elbo
from vlae.objectives.elbo import importance_weights as importance_weights
from vlae.objectives.elbo import log_likelihood as log_likelihood
from vlae.objectives.elbo import mmd as mmd
from vlae.objectives.elbo import noise as noise
from vlae.objectives.elbo import rates as rates
from vlae.objectives.elbo import rates_per_dimension as rates_per_dimension
