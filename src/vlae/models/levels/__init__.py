"""The levels of a ladder: the settings of a level, and the networks that they build.

A kind of level is a pair of classes in a file of its own.

| | settings, kept in recipe.json | networks |
| --- | --- | --- |
| abstract | `LevelSettings` | `LadderLevel` |
| plain | `Level` | `PlainNetworks` |
| owns the moments of the map below | `MomentsLevel` | `MomentsNetworks` |
| reads a frozen network's features | `ContentLevel` | `ContentNetworks` |
| is a class, which touches the prior of another level alone | `ClassLevel` | `ClassNetworks` |
"""

from vlae.models.levels.base import Description as Description
from vlae.models.levels.base import GaussianHead as GaussianHead
from vlae.models.levels.base import LadderLevel as LadderLevel
from vlae.models.levels.base import LevelSettings as LevelSettings
from vlae.models.levels.base import Place as Place
from vlae.models.levels.classes import ClassLevel as ClassLevel
from vlae.models.levels.classes import ClassNetworks as ClassNetworks
from vlae.models.levels.content import ContentLevel as ContentLevel
from vlae.models.levels.content import ContentNetworks as ContentNetworks
from vlae.models.levels.moments import MomentsLevel as MomentsLevel
from vlae.models.levels.moments import MomentsNetworks as MomentsNetworks
from vlae.models.levels.moments import Polarity as Polarity
from vlae.models.levels.plain import Level as Level
from vlae.models.levels.plain import PlainNetworks as PlainNetworks
