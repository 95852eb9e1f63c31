"""Where and how a step runs: device, precision, gradients, weights."""

import contextlib
import logging
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeconnect.errors import UserError
from edgeconnect.types import Batch, Method, Scalars

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

log = logging.getLogger(__name__)


def choose_device(name: str, gpus: tuple[int, ...]) -> torch.device:
    """Resolve DEVICE; `auto` is the first of GPU where CUDA works, else the processor."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        if not gpus or not available:
            return torch.device("cpu")
        name = f"cuda:{gpus[0]}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"DEVICE: {name} is not there: this machine shows {available} CUDA devices; set DEVICE: auto")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Resolve PRECISION; `auto` is bfloat16 on GPUs that compute in it, else float32."""
    if name != "auto":
        return DTYPES[name]
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float32


class Engine:
    """The one place that knows devices, mixed precision, loss scaling and clipping.

    `grad_clip` bounds the gradient norm of each optimiser's parameters; 0 leaves gradients alone. `careful` looks at
    every loss before weights move: free on a processor, a wait for the device on a GPU.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        grad_clip: float = 0.0,
        careful: bool | None = None,
    ) -> None:
        self.device, self.dtype, self.grad_clip = device, dtype, grad_clip
        self.careful = device.type == "cpu" if careful is None else careful
        self.refused: list[str] = []
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    def prepare(self, network: nn.Module) -> nn.Module:
        """Move a network to the device.

        Not channels last: instance normalisation undoes that layout anyway, and its CPU backward pass is wrong
        there for a batch of one (docs/numerics.md).
        """
        return network.to(self.device)

    def place(self, batch: Batch) -> Batch:
        """Move a batch to the device, without waiting where it comes from pinned memory."""
        return batch.map(lambda tensor: tensor.to(self.device, non_blocking=True))

    def autocast(self) -> torch.autocast:
        """Compute convolutions in the chosen precision."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def step(self, method: Method, batch: Batch) -> Scalars:
        """Train a method on one batch; `refused` then names the roles whose loss was not finite: nothing moved."""
        self.refused = []

        def update(losses: Mapping[str, Tensor]) -> None:
            self.update(method.optimizers, losses)

        with self.autocast():
            return method.step(batch, update)

    def update(self, optimizers: Mapping[str, torch.optim.Optimizer], losses: Mapping[str, Tensor]) -> None:
        """Take every gradient at the weights as they are, each loss into its own parameters only; then move all.

        Published loops that step one network before the other's backward pass fail on PyTorch >= 1.5; those that
        share a backward pass leak the generator's loss into the discriminator.
        """
        if self.careful:
            self.refused += [role for role, loss in losses.items() if not loss.isfinite()]
            if self.refused:
                return
        with torch.autocast(self.device.type, enabled=False):
            for role, loss in losses.items():
                optimizers[role].zero_grad(set_to_none=True)
                scaled: Tensor = self.scaler.scale(loss)
                scaled.backward(inputs=parameters(optimizers[role]))  # type: ignore[no-untyped-call]
            for role in losses:
                self._move(optimizers[role])
            self.scaler.update()

    def _move(self, optimizer: torch.optim.Optimizer) -> None:
        if self.grad_clip:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters(optimizer), self.grad_clip)
        self.scaler.step(optimizer)


def all_finite(network: nn.Module) -> bool:
    """Tell whether every weight is a number, with one wait for the device."""
    weights = [parameter.detach() for parameter in network.parameters()]
    return bool(torch.stack(torch._foreach_norm(weights)).isfinite().all())


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """List what an optimiser moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@contextlib.contextmanager
def inference(method: Method) -> Iterator[None]:
    """Complete without gradients and without a spectral-norm iteration, then return to the modes as they were."""
    modes = {network: network.training for network in method.networks.values()}
    for network in modes:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for network, training in modes.items():
            network.train(training)
