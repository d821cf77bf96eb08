"""Decide whether, where and in what form to offload a neural network, and prove it.

The verbs are functions here too: make a request, call the function, get an artifact. Names are imported when they are
first used, so that `import offload` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload.version import __version__

if TYPE_CHECKING:
    from offload.api import (
        FitRequest,
        ImportRequest,
        LinkRequest,
        PlanRequest,
        ProfileRequest,
        SimulateRequest,
        VerifyRequest,
        fit,
        import_trace,
        link,
        plan,
        profile,
        simulate,
        verify,
    )
    from offload.artifacts.costs import Costs
    from offload.artifacts.link import LinkProfile
    from offload.artifacts.plan import Plan
    from offload.artifacts.profile import Profile
    from offload.artifacts.simulation import Simulation
    from offload.artifacts.verification import Verification
    from offload.artifacts.workspace import Workspace
    from offload.errors import OffloadError

_WHERE = {
    "profile": "offload.api",
    "fit": "offload.api",
    "import_trace": "offload.api",
    "link": "offload.api",
    "plan": "offload.api",
    "verify": "offload.api",
    "simulate": "offload.api",
    "ProfileRequest": "offload.api",
    "FitRequest": "offload.api",
    "ImportRequest": "offload.api",
    "LinkRequest": "offload.api",
    "PlanRequest": "offload.api",
    "VerifyRequest": "offload.api",
    "SimulateRequest": "offload.api",
    "Profile": "offload.artifacts.profile",
    "Costs": "offload.artifacts.costs",
    "LinkProfile": "offload.artifacts.link",
    "Plan": "offload.artifacts.plan",
    "Verification": "offload.artifacts.verification",
    "Simulation": "offload.artifacts.simulation",
    "Workspace": "offload.artifacts.workspace",
    "OffloadError": "offload.errors",
}

__all__ = [
    "Costs",
    "FitRequest",
    "ImportRequest",
    "LinkProfile",
    "LinkRequest",
    "OffloadError",
    "Plan",
    "PlanRequest",
    "Profile",
    "ProfileRequest",
    "SimulateRequest",
    "Simulation",
    "Verification",
    "VerifyRequest",
    "Workspace",
    "__version__",
    "fit",
    "import_trace",
    "link",
    "plan",
    "profile",
    "simulate",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'offload' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
