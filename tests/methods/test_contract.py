"""What every registered method promises, and the trainer and the predictor rely on."""

import copy

import pytest
import torch
from support import OTHERS, STAGES, batch_for, differing, random_batch, state_of, tiny_method

from edgeconnect.config.sections import DataConfig
from edgeconnect.engine import FIRST, Engine, inference, parameters
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import METHODS
from edgeconnect.networks.canny import canny_edges
from edgeconnect.networks.filling import prefilled
from edgeconnect.types import composite, is_trained

CPU = torch.device("cpu")
GANS = ("nsgan", "lsgan", "hinge")
MODERN = {"PREFILL": "harmonic", "PREFILL_EDGES": 1, "SKIPS": 1, "HALVINGS": 1, "EDGE_BCE_LOSS_WEIGHT": 1}
EVERY = [*((stage, keys) for stage in STAGES for keys in ({}, MODERN)), *((method, {}) for method in OTHERS)]
names = [f"{stage}{'-modern' if keys else ''}" for stage, keys in EVERY]
every = pytest.mark.parametrize(("stage", "keys"), EVERY, ids=names)
every_stage = pytest.mark.parametrize("stage", [*STAGES, *OTHERS])


def build(stage, engine=None, **keys):
    method = tiny_method(stage, engine, **keys)
    for network in method.networks.values():
        network.train(is_trained(network))
    return method


def test_stages_that_draw_and_paint_name_one_that_paints_along_given_edges_with_their_networks():
    for row in METHODS.values():
        for stage in row.stages:
            assert bool(stage.paints_as) == (stage.draws_edges and stage.predicts == "image")
            if stage.paints_as:
                painting = row.stage(stage.paints_as)
                assert (painting.draws_edges, painting.predicts) == (False, "image")
                assert painting.completing
                assert {name: painting.networks[name] for name in painting.completing}.items() <= stage.networks.items()


@every
def test_a_refused_step_leaves_everything_as_it_was(stage, keys):
    method, engine, good = build(stage, **keys), Engine(CPU, check_every_step=True), batch_for(stage)
    engine.step(method, good)
    before = {name: state_of(network) for name, network in method.networks.items()}
    engine.step(method, good._replace(image=good.image * torch.nan, gray=good.gray * torch.nan))
    assert engine.refused
    assert not any(differing(before[name], network.state_dict()) for name, network in method.networks.items())


@every
def test_step_moves_only_what_it_optimises_and_all_of_it(stage, keys):
    method = build(stage, **keys)
    before = {name: state_of(network) for name, network in method.networks.items()}
    Engine(CPU).step(method, batch_for(stage))
    optimised = {id(p) for optimizer in method.optimizers.values() for p in parameters(optimizer)}
    for name, network in method.networks.items():
        moved = differing(before[name], network.state_dict())
        trained = {key for key, p in network.named_parameters() if id(p) in optimised}
        buffers = {key for key, _ in network.named_buffers()}
        if not trained:
            assert not moved, "a frozen network moved"
        else:
            assert moved <= trained | buffers
            # What has no effect, as a bias before a normalisation or what a tiny ReLU cuts off, has a gradient of zero.
            resting = {key: p.grad for key, p in network.named_parameters() if key in trained - moved}
            assert not any(grad.any() for grad in resting.values())
            assert len([key for key in resting if not key.endswith("bias")]) < len(trained) / 8


@pytest.mark.parametrize("stage", [*STAGES, "glcic", "se_contextual"])
def test_discriminator_gradient_is_unchanged_when_the_generator_loss_is_scaled(stage):
    gradients = []
    for scale in (1, 1000):
        method = build(stage)
        engine = Engine(CPU)

        def update(losses, engine=engine, method=method, scale=scale):
            engine.update(method.optimizers, losses | {"generator": losses["generator"] * scale})

        method.step(batch_for(stage), update, FIRST)
        gradients.append([p.grad.clone() for p in parameters(method.optimizers["discriminator"])])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@every_stage
def test_gradients_are_taken_at_the_weights_before_the_step(stage):
    method = build(stage)
    seen = {}

    def update(losses):
        for role, loss in losses.items():
            grads = torch.autograd.grad(loss, parameters(method.optimizers[role]), retain_graph=True)
            seen[role] = [grad.clone() for grad in grads]
        Engine(CPU).update(method.optimizers, losses)

    method.step(batch_for(stage), update, FIRST)
    for role, grads in seen.items():
        for parameter, grad in zip(parameters(method.optimizers[role]), grads, strict=True):
            torch.testing.assert_close(parameter.grad, grad)


def test_completion_loss_reaches_the_edge_generator_in_the_joint_stage_only():
    moved = {}
    for stage, weight in (("joint", 0), ("joint", 1), ("edge_inpaint", 1)):
        method = build(stage, L1_LOSS_WEIGHT=weight, INPAINT_ADV_LOSS_WEIGHT=0, FM_LOSS_WEIGHT=0)
        Engine(CPU).step(method, batch_for(stage))
        moved[stage, weight] = [p.grad for p in method.networks["edge_generator"].parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(moved["joint", 0], moved["joint", 1], strict=True))
    assert all(grad is None for grad in moved["edge_inpaint", 1])


@every_stage
@pytest.mark.parametrize("gan", GANS)
def test_generator_loss_falls_on_one_batch(stage, gan):
    lr = 1 if stage == "glcic" else 1e-3
    method, engine, batch = build(stage, GAN_LOSS=gan, LR=lr, D2G_LR=0), Engine(CPU), batch_for(stage)
    column = {"edge": "l_fm", "partialconv": "l_hole"}.get(stage, "l_mse" if stage in OTHERS else "l_l1")
    values = [float(engine.step(method, batch)[column]) for _ in range(12)]
    assert values[-1] < 0.95 * values[0]


@every
@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 53), (5, 9), (1, 1), (64, 30)])
def test_known_pixels_are_bit_identical_at_any_size(stage, height, width, keys):
    method, batch = build(stage, **keys), random_batch(2, height, width)
    with inference(method):
        merged = method.complete(batch).merged
    truth = batch.edge if stage == "edge" else batch.image
    assert merged.shape == truth.shape
    known = (batch.mask == 0).expand_as(truth)
    assert torch.equal(merged[known], truth[known])
    assert torch.isfinite(merged).all()
    assert 0 <= merged.min() <= merged.max() <= 1


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_finite_and_close(stage, dtype, keys):
    exact, half = ({}, {})
    for scalars, engine in ((exact, Engine(CPU)), (half, Engine(CPU, dtype))):
        method = build(stage, engine, **keys)
        for _ in range(3):
            scalars.update(engine.step(method, batch_for(stage)))
        assert all(torch.isfinite(p).all() for o in method.optimizers.values() for p in parameters(o))
    for name, value in exact.items():
        if name.startswith("l_"):
            assert float(half[name]) == pytest.approx(float(value), rel=0.15, abs=0.02), name


@every
@pytest.mark.parametrize("size", [1, 2])
def test_float32_gradients_equal_float64_ones(stage, size, keys):
    """A batch of one in the channels-last layout got wrong gradients from instance normalisation (PyTorch 2.15)."""
    method = build(stage, **keys)
    exact = copy.deepcopy(method)
    for network in exact.networks.values():
        network.double()
    batch = batch_for(stage, max(size, 2) if stage == "glcic" else size)  # it has maps of one pixel
    doubled = batch._replace(**{name: getattr(batch, name).double() for name in ("image", "gray", "edge", "mask")})
    engine = Engine(CPU)
    torch.manual_seed(1)
    engine.step(method, batch)
    torch.manual_seed(1)
    with DoubleSigmoids():
        engine.step(exact, doubled)
    for role, optimizer in method.optimizers.items():
        ours = torch.cat([p.grad.flatten() for p in parameters(optimizer)]).double()
        theirs = torch.cat([p.grad.flatten() for p in parameters(exact.optimizers[role])])
        assert (ours - theirs).norm() < 2e-2 * theirs.norm()


class DoubleSigmoids:
    """Let float64 through the places that compute in float32 whatever the autocast."""

    def __enter__(self):
        self.kept = torch.Tensor.float
        torch.Tensor.float = lambda tensor: tensor

    def __exit__(self, *_):
        torch.Tensor.float = self.kept


@every
def test_empty_masks_train_and_complete(stage, keys):
    method, batch = build(stage, **keys), batch_for(stage)
    batch = batch._replace(mask=torch.zeros_like(batch.mask))
    scalars = Engine(CPU).step(method, batch)
    assert all(torch.isfinite(value) for value in scalars.values())
    truth = batch.edge if stage == "edge" else batch.image
    assert torch.equal(method.complete(batch).merged, truth)


def test_a_discriminator_that_no_loss_needs_rests():
    edges = {"EDGE_ADV_LOSS_WEIGHT": 0, "FM_LOSS_WEIGHT": 0, "EDGE_BCE_LOSS_WEIGHT": 1}
    both = ("edge_discriminator", "inpaint_discriminator")
    for keys, resting in ((edges, both[:1]), ({"INPAINT_ADV_LOSS_WEIGHT": 0}, both[1:])):
        for stage in STAGES:
            method = build(stage, **keys)
            before = {name: state_of(network) for name, network in method.networks.items()}
            scalars = Engine(CPU).step(method, batch_for(stage))
            for name, network in method.networks.items():
                rests = name in resting or not is_trained(network)
                assert bool(differing(before[name], network.state_dict())) != rests
            assert all(
                scalars[f"l_{loss}{both.index(name) + 1}"] == 0
                for name in resting
                for loss in "dg"
                if name in method.networks
            )


@every_stage
def test_a_step_returns_every_loss_that_the_catalogue_names(stage):
    method = build(stage, EDGE_BCE_LOSS_WEIGHT=1, TV_LOSS_WEIGHT=0.1)
    row = METHODS[stage if stage in OTHERS else "edgeconnect"]
    assert (
        set(row.stage("completion" if stage in OTHERS else stage).losses)
        <= Engine(CPU).step(method, batch_for(stage)).keys()
    )


def test_a_painter_on_a_surface_begins_near_the_surface_and_paints_the_hole_alone():
    method, batch = build("inpaint", PREFILL="harmonic"), random_batch()
    with inference(method):
        raw = method.complete(batch).raw
    torch.testing.assert_close(raw, prefilled(batch.image, batch.mask, "harmonic"), atol=0.05, rtol=0)
    assert torch.equal(raw * (1 - batch.mask), batch.image * (1 - batch.mask))


def test_an_edge_generator_sees_the_edges_of_the_surface_or_nothing_in_the_hole(monkeypatch):
    batch, seen = random_batch(), []
    for keys in ({}, {"PREFILL_EDGES": 1}, {"PREFILL_EDGES": 1, "SIGMA": 0}, {"PREFILL_EDGES": 1, "SIGMA": -1}):
        method = build("edge", PREFILL="harmonic", **keys)
        monkeypatch.setattr(method.generator, "forward", lambda x: seen.append(x[:, 1:2]) or x[:, :1])
        with inference(method):
            method.complete(batch)
    surface = prefilled(batch.gray, batch.mask, "harmonic")
    for edge, sigma in zip(seen, (None, DataConfig().sigma, 1, None), strict=True):
        expected = batch.edge * (1 - batch.mask)
        expected = expected if sigma is None else composite(expected, canny_edges(surface, sigma), batch.mask)
        assert torch.equal(edge, expected)


@pytest.mark.parametrize("stage", STAGES)
def test_edges_of_a_white_hole_are_refused(stage):
    with pytest.raises(UserError, match="PREFILL_EDGES: 1 needs a surface"):
        build(stage, PREFILL_EDGES=1)


@pytest.mark.parametrize("stage", ["edge_inpaint", "joint"])
def test_raw_edges_of_a_generator_that_learned_the_hole_alone_are_refused_before_training(stage):
    with pytest.raises(UserError, match="RAW_EDGES: 1 needs"):
        build(stage, RAW_EDGES=1, EDGE_BCE_LOSS_WEIGHT=1, EDGE_ADV_LOSS_WEIGHT=0, FM_LOSS_WEIGHT=0)


@every_stage
def test_scalars_wait_on_the_device_detached(stage):
    scalars = Engine(CPU).step(build(stage), batch_for(stage))
    assert all(value.ndim == 0 and not value.requires_grad for value in scalars.values())


@every_stage
def test_inference_advances_nothing(stage):
    method = build(stage)
    before = {name: state_of(network) for name, network in method.networks.items()}
    with inference(method):
        completion = method.complete(random_batch())
        method.evaluate(random_batch(), completion)
    for name, network in method.networks.items():
        assert not differing(before[name], network.state_dict())
        assert network.training == is_trained(network)


@pytest.mark.parametrize("stage", STAGES)
def test_methods_build_the_feature_network_only_where_a_loss_needs_it(stage, monkeypatch):
    from edgeconnect.methods import perceptual

    built = []
    real = perceptual.load_features
    monkeypatch.setattr(perceptual, "load_features", lambda net, weights: built.append(weights) or real(net, weights))
    method = build(stage, CONTENT_LOSS_WEIGHT=0.1, STYLE_LOSS_WEIGHT=250, VGG_WEIGHTS="random")
    method.complete(random_batch())
    assert not built
    for _ in range(2):
        Engine(CPU).step(method, batch_for(stage))
    assert len(built) == (stage != "edge")
