"""Build what the configuration names."""

from edgeconnect.config.sections import Config
from edgeconnect.types import Method, Prepare, is_trained


def build(config: Config, prepare: Prepare) -> Method:
    """Build the stage that METHOD and MODEL name. Raises ValueError where it is not what its catalogue row says."""
    stage = config.stage
    method = config.row.build(stage.name, config, prepare)
    trained = {name for name, network in method.networks.items() if is_trained(network)}
    if method.networks.keys() != stage.networks.keys() or trained != set(stage.trained):
        has = f"the method has the networks {sorted(method.networks)} and trains {sorted(trained)}"
        names = f"its row in the catalogue names {sorted(stage.networks)} and {sorted(stage.trained)}"
        raise ValueError(f"{config.row.name}, stage {stage.name}: {has}, {names}")
    return method
