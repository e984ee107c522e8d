"""The contracts: protocols that plugins implement and the value types that cross them."""

from core.contracts.certificate import Certificate
from core.contracts.config import PluginConfig
from core.contracts.decision import DecisionRule
from core.contracts.errors import Ambiguous, BudgetSpent, ContractError, InvalidParams, NotYet, OutOfStock, SetupError
from core.contracts.evaluation import Evaluation, ItemScore, Split
from core.contracts.executor import Diagnoses, Executor, Stream, TellsBills
from core.contracts.job import (
    TERMINAL,
    Caps,
    Diagnosis,
    Handle,
    Job,
    JobState,
    Manifest,
    Observation,
    Offer,
    Reaped,
    Resources,
)
from core.contracts.noise import RunNoise, same_configuration
from core.contracts.objective import Objective
from core.contracts.optuna_space import from_optuna, optuna_distributions, optuna_params
from core.contracts.policy import HasNotices, Policy
from core.contracts.program import InvalidPatch, Program, patch_hash
from core.contracts.proposal import Proposal
from core.contracts.purse import Purse
from core.contracts.requests import Request, end_requested, queue_request, queued_requests, request_end
from core.contracts.reward import Reward, WeightedReward
from core.contracts.space import CategoricalParam, FloatParam, IntParam, Param, Scalar, Space, SpaceConfig
from core.contracts.study import BudgetView, Study, StudyView
from core.contracts.task import (
    ChecksItself,
    DescribesModel,
    EvaluateContext,
    HasLocalInputs,
    HasPreflight,
    HasProgram,
    ModelFacts,
    Preflight,
    Task,
    TrainContext,
)
from core.contracts.tracker import Tracker
from core.contracts.trial import BASELINE, Trial, TrialStatus
from core.contracts.verdict import Decision, Estimate, Verdict
from core.contracts.version import CONTRACT_VERSION

__all__ = [
    "BASELINE",
    "CONTRACT_VERSION",
    "TERMINAL",
    "Ambiguous",
    "BudgetSpent",
    "BudgetView",
    "Caps",
    "CategoricalParam",
    "Certificate",
    "ChecksItself",
    "ContractError",
    "Decision",
    "DecisionRule",
    "DescribesModel",
    "Diagnoses",
    "Diagnosis",
    "Estimate",
    "EvaluateContext",
    "Evaluation",
    "Executor",
    "FloatParam",
    "Handle",
    "HasLocalInputs",
    "HasNotices",
    "HasPreflight",
    "HasProgram",
    "IntParam",
    "InvalidParams",
    "InvalidPatch",
    "ItemScore",
    "Job",
    "JobState",
    "Manifest",
    "ModelFacts",
    "NotYet",
    "Objective",
    "Observation",
    "Offer",
    "OutOfStock",
    "Param",
    "PluginConfig",
    "Policy",
    "Preflight",
    "Program",
    "Proposal",
    "Purse",
    "Reaped",
    "Request",
    "Resources",
    "Reward",
    "RunNoise",
    "Scalar",
    "SetupError",
    "Space",
    "SpaceConfig",
    "Split",
    "Stream",
    "Study",
    "StudyView",
    "Task",
    "TellsBills",
    "Tracker",
    "TrainContext",
    "Trial",
    "TrialStatus",
    "Verdict",
    "WeightedReward",
    "end_requested",
    "from_optuna",
    "optuna_distributions",
    "optuna_params",
    "patch_hash",
    "queue_request",
    "queued_requests",
    "request_end",
    "same_configuration",
]
