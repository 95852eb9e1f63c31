"""Where and how a step runs: device, precision, gradients, weights."""

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeconnect.config.sections import Config
from edgeconnect.errors import UserError
from edgeconnect.types import Batch, Method, Progress, Scalars, in_floats, is_trained

FIRST = Progress(iteration=1)
ACTIVATIONS = 2**20  # of the first layers that a thread is worth having for
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

log = logging.getLogger(__name__)


def choose_device(name: str, gpus: tuple[int, ...]) -> torch.device:
    """Resolve DEVICE; `auto` is the first of GPU where CUDA works, else the processor."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    remedy = "set DEVICE: auto"
    if name == "auto":
        if not gpus or not available:
            return torch.device("cpu")
        name, remedy = f"cuda:{gpus[0]}", "name another one in GPU"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"DEVICE: {name} is not there: this machine shows {available} CUDA devices; {remedy}")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Resolve PRECISION; `auto` is bfloat16 where the hardware computes in it, GPUs and processors, else float32."""
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = any(has and name.endswith("bf16") for name, has in torch.cpu.get_capabilities().items())
    return torch.bfloat16 if native else torch.float32


def choose_threads(config: Config) -> int:
    """Resolve THREADS; 0 is one for each core that PyTorch found, fewer where a step trains a small network.

    Threads wait for each other after every operation. Short operations gain little from more threads, and with a busy
    neighbour on one of the cores they lose far more: benchmarks/contention.py.
    """
    channels = config.networks.base_channels
    if config.stage.predicts == "image":
        channels += 64  # of the feature network
    activations = config.optim.batch_size * config.data.input_size**2 * channels
    useful = -(-activations // ACTIVATIONS) or torch.get_num_threads()  # with INPUT_SIZE 0 the size is not known
    return config.run.threads or min(torch.get_num_threads(), useful)


def make_engine(config: Config, training: bool = False) -> "Engine":
    """Choose device and precision and log them; PRECISION auto completes pictures in float32, as published."""
    device = choose_device(config.run.device, config.run.gpu)
    auto_completes = config.run.precision == "auto" and not training
    dtype = torch.float32 if auto_completes else choose_precision(config.run.precision, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # or helper threads would open a context on GPU 0
        rounded = dtype != torch.float32  # PyTorch's default computes float32 convolutions in TF32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounded
    elif training or config.run.threads:
        torch.set_num_threads(choose_threads(config))
    torch.backends.cudnn.benchmark = training and config.data.input_size > 0  # each size would be tuned for
    if len(config.run.gpu) > 1 and device.type == "cuda":
        log.warning("GPU: %s names several; one process trains on one GPU, here %s", list(config.run.gpu), device)
    threads = f", threads {torch.get_num_threads()}" if device.type == "cpu" else ""
    log.info("device %s, precision %s%s", device, str(dtype).removeprefix("torch."), threads)
    check_every_step = device.type == "cpu" or config.optim.skip_nonfinite > 0
    return Engine(device, dtype, config.optim.grad_clip, check_every_step)


class Engine:
    """The one place that knows devices, mixed precision, loss scaling and clipping.

    `grad_clip` bounds the gradient norm of each optimiser's parameters; 0 leaves gradients alone. `check_every_step`
    looks at every loss before weights move: free on a processor, a wait for the device on a GPU.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        grad_clip: float = 0.0,
        check_every_step: bool | None = None,
    ) -> None:
        self.device, self.dtype, self.grad_clip = device, dtype, grad_clip
        self.check_every_step = device.type == "cpu" if check_every_step is None else check_every_step
        self.refused: list[str] = []
        self.is_moving = False  # an error that comes meanwhile leaves some weights moved and others not
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.copies = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def prepare(self, network: nn.Module) -> nn.Module:
        """Move a network to the device; weights that never learn are cast once, not in every pass."""
        if not is_trained(network):
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.to(self.dtype)
        return network.to(self.device)

    def place(self, batch: Batch) -> Batch:
        """Move a batch to the device and make it floats there.

        From pinned memory it is copied while a GPU still computes the step before.
        """
        if self.copies is None:
            return batch.map(lambda tensor: in_floats(tensor.to(self.device)))
        with torch.cuda.stream(self.copies):
            placed = batch.map(lambda tensor: in_floats(tensor.to(self.device, non_blocking=True)))
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self.copies)
        for tensor in placed[:4]:
            tensor.record_stream(computing)  # or its memory could be filled with the next batch before it is read
        return placed

    def is_idle(self) -> bool:
        """Return whether the device has computed all that it was asked for; a processor always has."""
        return self.device.type != "cuda" or torch.cuda.current_stream(self.device).query()

    def autocast(self) -> torch.autocast:
        """Compute convolutions in the chosen precision."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def step(
        self, method: Method, batch: Batch, progress: Progress = FIRST, roles: Collection[str] | None = None
    ) -> Scalars:
        """Train the `roles` of a method (by default all) on one batch.

        `refused` then names the roles of an update whose loss was not finite: neither it nor a later one of the step
        moved a weight. An earlier one of a method that updates several times a step did.
        """
        self.refused = []

        def update(losses: Mapping[str, Tensor]) -> None:
            if not self.refused:
                wanted = {role: loss for role, loss in losses.items() if roles is None or role in roles}
                if wanted:
                    self.update(method.optimizers, wanted)

        with self.autocast():
            return method.step(batch, update, progress)

    def update(self, optimizers: Mapping[str, torch.optim.Optimizer], losses: Mapping[str, Tensor]) -> None:
        """Take every gradient at the weights as they are, each loss into its own parameters only; then move all.

        Published loops that step one network before the other's backward pass fail on PyTorch >= 1.5; those that
        share a backward pass leak the generator's loss into the discriminator.
        """
        if self.check_every_step:
            self.refused += [role for role, loss in losses.items() if not loss.isfinite()]
            if self.refused:
                return
        with torch.autocast(self.device.type, enabled=False):
            for left, (role, loss) in enumerate(losses.items(), 1 - len(losses)):
                optimizers[role].zero_grad(set_to_none=True)
                scaled: Tensor = self.scaler.scale(loss)
                learning = parameters(optimizers[role])
                scaled.backward(inputs=learning, retain_graph=left < 0)  # type: ignore[no-untyped-call]
            self.is_moving = True
            for role in losses:
                if self.grad_clip:
                    self.scaler.unscale_(optimizers[role])
                    nn.utils.clip_grad_norm_(parameters(optimizers[role]), self.grad_clip)
                self.scaler.step(optimizers[role])
            self.scaler.update()
            self.is_moving = False
        torch.clear_autocast_cache()  # or what follows in this step would see the weights before the move


def all_finite(network: nn.Module) -> bool:
    """Return whether every weight is a number, with one wait for the device."""
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
