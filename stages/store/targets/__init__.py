"""Where else published jobs go: databases and object stores, one a module, behind the protocol in `protocol`."""

from __future__ import annotations

from pipeline.config import Targets
from stages.store.targets.protocol import ForgottenJob, PublishedJob, Target, TargetDown, TargetRefuses

__all__ = ["ForgottenJob", "PublishedJob", "Target", "TargetDown", "TargetRefuses", "chosen"]


def chosen(config: Targets) -> tuple[Target, ...]:
    """The targets that CONFIG names. A module is loaded only where its target is chosen."""
    targets: list[Target] = []
    if config.postgres is not None:
        from stages.store.targets.postgres import PostgresTarget

        targets.append(PostgresTarget(config.postgres))
    if config.objects is not None:
        from stages.store.targets.objects import ObjectTarget

        targets.append(ObjectTarget(config.objects))
    if config.iceberg is not None:
        from stages.store.targets.iceberg import IcebergTarget

        targets.append(IcebergTarget(config.iceberg))
    return tuple(targets)
