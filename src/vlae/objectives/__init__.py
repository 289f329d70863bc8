"""What training minimises: the interface of objectives, the ELBO, bounds, schedules, discrepancies, critics."""

from vlae.objectives.adversarial import contest as contest
from vlae.objectives.adversarial import frozen as frozen
from vlae.objectives.base import Batch as Batch
from vlae.objectives.base import Loss as Loss
from vlae.objectives.base import Objective as Objective
from vlae.objectives.bounds import log_importance_weights as log_importance_weights
from vlae.objectives.bounds import log_likelihood as log_likelihood
from vlae.objectives.critic import AdversarialELBO as AdversarialELBO
from vlae.objectives.discrepancies import mmd as mmd
from vlae.objectives.elbo import ELBO as ELBO
from vlae.objectives.elbo import distortion as distortion
from vlae.objectives.elbo import noise as noise
from vlae.objectives.elbo import rates as rates
from vlae.objectives.elbo import rates_per_dimension as rates_per_dimension
from vlae.objectives.features import FeaturesELBO as FeaturesELBO
from vlae.objectives.few_labels import FewLabels as FewLabels
