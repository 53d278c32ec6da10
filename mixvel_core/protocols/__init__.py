"""The contracts: what each part of a decentralized diffusion model must offer, and nothing else.

One protocol a file. This package imports neither torch nor any plugin, so recipes can be checked in a blink.
"""

from mixvel_core.protocols.data import (
    Data,
    DataSource,
    GaussianLaw,
    Items,
    NamingPartitioner,
    Partitioner,
    PreparedSource,
    Shard,
    Streaming,
)
from mixvel_core.protocols.expert import (
    DensityExpert,
    DiscreetFamily,
    Expert,
    ExpertConfig,
    ExpertFamily,
    ExpertGroup,
    Moments,
    NetworkExpert,
    NetworkGroup,
    PretrainedFamily,
    SharedFamily,
)
from mixvel_core.protocols.integrator import Field, Integrator, NoisyField, RandomIntegrator, SplitField
from mixvel_core.protocols.launcher import Job, Launcher, Mapper, Task
from mixvel_core.protocols.metric import Metric, Origins, OriginScorer, PreparedMetric, ReferenceMetric, Score, Scorer
from mixvel_core.protocols.progress import Progress, ProgressTask
from mixvel_core.protocols.router import (
    Ask,
    CheckedRouterFamily,
    ObservingRouter,
    Router,
    RouterConfig,
    RouterFamily,
)
from mixvel_core.protocols.schedule import (
    BoundedSchedule,
    InvertibleSchedule,
    NoiseSchedule,
    SchedulePoint,
    SteppedSchedule,
    Suprema,
)
from mixvel_core.protocols.selector import Draws, Estimate, Evaluations, Prior, Selector, SplitSelector
from mixvel_core.protocols.training import Batch, Objective, TrainTask

__all__ = [
    "Ask",
    "Batch",
    "BoundedSchedule",
    "CheckedRouterFamily",
    "Data",
    "DataSource",
    "DensityExpert",
    "DiscreetFamily",
    "Draws",
    "Estimate",
    "Evaluations",
    "Expert",
    "ExpertConfig",
    "ExpertFamily",
    "ExpertGroup",
    "Field",
    "GaussianLaw",
    "Integrator",
    "InvertibleSchedule",
    "Items",
    "Job",
    "Launcher",
    "Mapper",
    "Metric",
    "Moments",
    "NamingPartitioner",
    "NetworkExpert",
    "NetworkGroup",
    "NoiseSchedule",
    "NoisyField",
    "Objective",
    "ObservingRouter",
    "OriginScorer",
    "Origins",
    "Partitioner",
    "PreparedMetric",
    "PreparedSource",
    "PretrainedFamily",
    "Prior",
    "Progress",
    "ProgressTask",
    "RandomIntegrator",
    "ReferenceMetric",
    "Router",
    "RouterConfig",
    "RouterFamily",
    "SchedulePoint",
    "Score",
    "Scorer",
    "Selector",
    "Shard",
    "SharedFamily",
    "SplitField",
    "SplitSelector",
    "SteppedSchedule",
    "Streaming",
    "Suprema",
    "Task",
    "TrainTask",
]
