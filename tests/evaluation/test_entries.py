"""Entries: nobody sees the hole, known pixels stay, and what decides the results is their identity."""

import itertools
import json
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from evaluations import opened, preprocessing, save
from support import STAGES, tiny_method

from edgeconnect.config import file as config_file
from edgeconnect.data.edges import canny_edges, to_gray
from edgeconnect.data.mask_shapes import Pixels, draw
from edgeconnect.data.scenes import render
from edgeconnect.digest import file_digest
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.evaluation.entries import GROUND_TRUTH, NO_EDGES, STRICT, BestOf, Classical, LoadedItem, Results
from edgeconnect.evaluation.manifest import Item, Manifest
from edgeconnect.images import to_uint8


def sample(number=0, height=40, width=48, share=0.3):
    picture = render(number, height, width)
    least = int(share * height * width)
    hole = draw("boxes", height, width, np.random.default_rng(number), Pixels(least, least + 40))
    return LoadedItem(f"item {number}", number, picture, hole)


def manifest(*ids):
    return Manifest(preprocessing(), tuple(Item(id_, f"{id_}.png", "m.png", -1, 0.5, "", "") for id_ in ids))


def altered(one):
    """Put something with strong edges into the hole."""
    noise = np.random.default_rng(1).integers(0, 2, one.picture.shape, dtype=np.uint8) * 255
    return one._replace(picture=np.where(one.mask[..., None], noise, one.picture))


def same(one, other):
    return all(a is b or np.array_equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


@pytest.fixture(scope="module")
def runs(trained):
    """Return a function that opens a stage of the trained run once."""
    known = {}

    def get(stage, sees_edges=STRICT, mirror=False):
        key = stage, sees_edges, mirror
        if key not in known:
            known[key] = opened(f"{trained}:{stage}", [], sees_edges, mirror)
        return known[key]

    return get


# Nobody sees the hole


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_never_see_the_hole(name):
    one = sample()
    (filled,), (again,) = Classical(name).complete([one]), Classical(name).complete([altered(one)])
    assert same(filled, again)
    assert np.array_equal(filled.picture[~one.mask], one.picture[~one.mask])
    assert not np.array_equal(filled.picture[one.mask], one.picture[one.mask])


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_take_no_hole_and_nothing_but_hole(name):
    one = sample()
    (filled,) = Classical(name).complete([one._replace(mask=np.zeros_like(one.mask))])
    assert np.array_equal(filled.picture, one.picture)
    everything = one._replace(mask=np.ones_like(one.mask))
    assert same(*(next(Classical(name).complete([s])) for s in (everything, altered(everything))))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_strict_edges_never_depend_on_the_hole(stage, mirror, runs):
    entry, one = runs(stage, STRICT, mirror), sample()
    assert same(*(next(entry.complete([s])) for s in (one, altered(one))))


@pytest.mark.parametrize("stage", STAGES)
def test_ground_truth_edges_do(stage, runs):
    """The inpaint stage sees those of the hole itself, the others Canny's near its rim."""
    entry, one = runs(stage, GROUND_TRUTH), sample()
    assert not same(*(next(entry.complete([s])) for s in (one, altered(one))))
    assert not np.array_equal(entry.batch(one).edge, runs(stage).batch(one).edge)
    assert np.array_equal(entry.batch(one).edge[0, 0], canny_edges(to_gray(one.picture), entry.config.data.sigma))


@pytest.mark.parametrize("stage", ["inpaint", "edge_inpaint", "joint"])
def test_without_edges_a_run_paints_as_its_inpaint_network_fed_zeros(stage, runs, trained):
    entry, one = runs(stage, NO_EDGES), sample()
    assert not entry.batch(one).edge.any()
    assert (entry.paints, entry.draws_edges, "edge_generator" in entry.run.method.networks) == (True, False, False)
    (filled,) = entry.complete([one])
    assert filled.edge is None
    network = tiny_method("inpaint", SIGMA=1).generator
    path = trained / f"saves/{stage}/0000002/state.pth"
    network.load_state_dict(torch.load(path, weights_only=True)["ema"]["shadow"]["inpaint_generator"])
    image = torch.from_numpy(np.where(one.mask[..., None], np.uint8(255), one.picture) / np.float32(255)).movedim(2, 0)
    with torch.no_grad():
        painted = network.eval()(torch.cat([image, torch.zeros_like(image[:1])])[None])
    expected = ((torch.tanh(painted[0]) + 1) / 2 * 255).round().movedim(0, 2).numpy()
    assert np.abs(filled.picture - expected)[one.mask].max() <= 1
    assert not np.array_equal(filled.picture, next(runs(stage).complete([one])).picture)


def test_a_stage_that_draws_alone_has_nothing_to_do_without_edges(trained):
    with pytest.raises(UserError, match=r"--edges none: stage edge .* draws edges; leave it out"):
        opened(f"{trained}:edge", [], NO_EDGES)


@pytest.mark.parametrize("stage", STAGES)
def test_items_made_ahead_are_completed_the_same_and_not_made_again(stage, runs, monkeypatch):
    entry, items = runs(stage), [sample(number) for number in range(3)]
    alone = list(entry.complete(items))
    ahead = [entry.ready(item) for item in items]
    assert all(item.batch is not None for item in ahead)
    monkeypatch.setattr(entry, "batch", None)
    assert all(same(one, other) for one, other in zip(alone, entry.complete(ahead), strict=True))


def test_what_cannot_be_made_ahead_fails_when_it_is_completed(runs, monkeypatch):
    entry, one = runs("joint"), sample()
    monkeypatch.setattr(entry, "batch", Mock(side_effect=BadImageError("edges.png", "is no picture")))
    with pytest.raises(BadImageError, match=r"edges\.png"):
        next(entry.complete([entry.ready(one)]))


# The best of several completions


@pytest.mark.parametrize("stage", ["edge_inpaint", "joint"])
def test_the_best_of_one_is_the_usual_completion_and_of_more_what_the_judges_keep(stage, runs):
    run, one = runs(stage), sample()
    (usual,), (first,) = run.complete([one]), BestOf(run, 1).complete([one])
    assert same(usual, first)
    several = BestOf(run, 8)
    (kept,) = several.complete([one])
    made, report = several.verifier.complete(lambda scale: run.batch(one, scale))
    assert np.array_equal(kept.picture[one.mask], to_uint8(made.merged)[0][one.mask])
    assert sum(candidate["kept"] for candidate in report) == 1
    assert np.array_equal(kept.picture[~one.mask], one.picture[~one.mask])
    assert same(kept, next(several.complete([run.ready(one)])))


def test_the_best_of_more_is_another_method_whose_judges_are_named(runs):
    run = runs("joint")
    two, three = BestOf(run, 2), BestOf(run, 3)
    assert len({run.identity(8), two.identity(8), three.identity(8)}) == 3
    assert (two.name, two.sees_edges, two.draws_edges, two.paints) == (f"{run.name} best of 2", STRICT, True, True)
    judges = [name.split()[0] for name in two.provenance.keys() - run.provenance.keys()]
    assert sorted(judges) == ["EdgeModel_dis.pth", "InpaintingModel_dis.pth"]


def test_a_run_that_does_not_draw_cannot_be_judged(runs):
    with pytest.raises(UserError, match="does not both draw edges and paint"):
        BestOf(runs("inpaint"), 2)


# What comes back


@pytest.mark.parametrize("sees_edges", [STRICT, GROUND_TRUTH])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_keeps_known_pixels_and_draws_what_it_can(stage, sees_edges, runs):
    entry, one = runs(stage, sees_edges), sample()
    (filled,) = entry.complete([one])
    assert (filled.picture is None) == (stage == "edge") == (not entry.paints)
    assert (filled.edge is None) == (stage == "inpaint") == (not entry.draws_edges)
    assert (entry.name, entry.sees_edges, filled.id) == (f"run:{stage}", sees_edges, one.id)
    if filled.picture is not None:
        assert np.array_equal(filled.picture[~one.mask], one.picture[~one.mask])
        assert (filled.picture.shape, filled.picture.dtype) == (one.picture.shape, np.uint8)
    if filled.edge is not None:
        known = entry.batch(one).edge[0, 0].numpy()
        assert np.array_equal(filled.edge[~one.mask], 255 * known[~one.mask])


def test_pictures_of_odd_sizes_without_hole_and_with_nothing_else(runs):
    entry, one = runs("joint"), sample(height=41, width=37)
    for hole in (one.mask, np.zeros_like(one.mask), np.ones_like(one.mask)):
        (filled,) = entry.complete([one._replace(mask=hole)])
        assert np.array_equal(filled.picture[~hole], one.picture[~hole])


def test_a_batch_gives_what_its_pictures_give_alone(runs):
    entry, several = runs("edge_inpaint"), [sample(number) for number in range(5)]
    together = list(entry.complete(several))
    assert [filled.id for filled in together] == [one.id for one in several]
    assert all(same(filled, *entry.complete([one])) for filled, one in zip(together, several, strict=True))


def test_the_mirror_image_counts(runs):
    one = sample()
    plain, mirrored = (next(runs("joint", STRICT, mirror).complete([one])) for mirror in (False, True))
    assert not np.array_equal(plain.picture, mirrored.picture)
    assert not np.array_equal(plain.edge, mirrored.edge)


def test_random_sigma_is_drawn_by_the_item_s_number(runs, trained):
    entry = opened(f"{trained}:inpaint", [("", "SIGMA=0")])
    edges = [entry.batch(sample()._replace(number=number)).edge.numpy().tobytes() for number in range(12)]
    assert 1 < len(set(edges)) <= 4
    assert edges == [entry.batch(sample()._replace(number=n)).edge.numpy().tobytes() for n in range(12)]


# Identity


def test_the_average_completes_and_is_part_of_the_identity(runs, copied):
    averaged = runs("inpaint")
    assert opened(f"{copied}:inpaint", []).identity(8) == averaged.identity(8)
    newest = copied / "saves/inpaint/0000002"
    state = torch.load(newest / "state.pth", weights_only=True)
    shadow = state["ema"]["shadow"]["inpaint_generator"]
    state["ema"]["shadow"]["inpaint_generator"] = {name: value + 0.01 for name, value in shadow.items()}
    torch.save(state, newest / "state.pth")
    record = json.loads((newest / "save.json").read_text())
    record["files"]["state.pth"] = file_digest(newest / "state.pth")
    (newest / "save.json").write_text(json.dumps(record))
    moved = opened(f"{copied}:inpaint", [])
    shutil.rmtree(copied / "saves")
    last = opened(f"{copied}:inpaint", [])
    assert len({entry.identity(8) for entry in (averaged, moved, last)}) == 3
    completed = [next(entry.complete([sample()])) for entry in (averaged, moved, last)]
    assert not any(same(one, other) for one, other in itertools.combinations(completed, 2))


def test_weights_stage_and_what_is_seen_are_the_identity(runs, copied):
    different = [runs(stage) for stage in STAGES] + [runs("joint", GROUND_TRUTH), runs("joint", STRICT, True)]
    different.append(runs("joint", NO_EDGES))
    for overrides in (["SIGMA=2"], ["SIGMA=0"], ["SIGMA=0", "SEED=11"]):
        different.append(opened(f"{copied}:joint", [("", text) for text in overrides]))
    shutil.copy(copied / "saves/inpaint/0000002/InpaintingModel_gen.pth", copied)
    shutil.rmtree(copied / "saves")
    different.append(opened(f"{copied}:joint", []))
    assert len({entry.identity(8) for entry in different}) == len(different)
    assert opened(f"{copied}:joint", [("", "SEED=11")]).identity(8) == different[-1].identity(8)


# Opening


def test_a_run_is_opened_at_the_stage_that_is_named(trained):
    for spec, overrides, stage in (
        (f"{trained}:2", ["MODEL=1"], "inpaint"),
        (f"{trained}:joint", [], "joint"),
        (f"{trained}", ["MODEL=edge"], "edge"),
        (f"{trained}", ["MODEL=all"], "edge_inpaint"),
        (f"{trained}", [], "edge_inpaint"),
        (f"{trained}/saves/joint/0000002:joint", [], "joint"),
    ):
        assert opened(spec, [("--set", text) for text in overrides], STRICT).run.stage.name == stage


def test_what_ran_decides_before_what_the_file_says_now(copied, caplog):
    (copied / "config.yml").write_text("SIGMA: 3\nBASE_CHANNELS: 8\n")
    assert opened(f"{copied}:inpaint").config.data.sigma == 1
    assert "SIGMA" in caplog.text
    assert opened(f"{copied}:inpaint", [("", "SIGMA=2")]).config.data.sigma == 2


@pytest.mark.parametrize("spec", ["gone", "gone:3", ":3", "", "3"])
def test_no_run_is_named(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"--runs: {spec} is no run's folder"):
        opened(spec, [], STRICT)


def test_names_of_runs_break_no_table(copied):
    hostile = copied.rename(copied.parent / "a\nb\x1b|c")
    entry = opened(f"{hostile}:1", [], STRICT, mirror=True)
    assert entry.name == r"a\nb\x1b|c:edge mirrored"


def test_wrong_weights_are_named(copied, trained):
    with pytest.raises(UserError, match=r"--runs .*:5: MODEL: '?5'? is none of"):
        opened(f"{trained}:5", [])
    with pytest.raises(UserError, match=r"EdgeModel_gen\.pth.*BASE_CHANNELS"):
        opened(f"{trained}", [("", "BASE_CHANNELS=8")])
    shutil.rmtree(copied / "saves")
    (copied / "InpaintingModel_gen.pth").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth is no readable checkpoint"):
        opened(f"{copied}", [])
    (copied / "InpaintingModel_gen.pth").unlink()
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth does not exist"):
        opened(f"{copied}", [])


def test_runs_need_no_configuration(trained, tmp_path):
    for path in trained.glob("*_gen.pth"):
        shutil.copy(path, tmp_path)
    entry = opened(str(tmp_path), [("", "BASE_CHANNELS=4"), ("", "RESIDUAL_BLOCKS=1")], STRICT)
    assert entry.config.data == config_file.load(None).config.data
    assert next(entry.complete([sample()])).picture is not None


# Results of others


def test_results_are_taken_as_they_are(tmp_path):
    one = sample()
    theirs = one.picture // 2
    save(tmp_path / f"deep/{one.id}.png", theirs)
    (filled,) = Results("theirs", tmp_path).complete([one])
    assert np.array_equal(filled.picture, theirs)
    assert filled.edge is None


def test_results_that_cannot_be_used_are_named(tmp_path):
    one, other = sample(0), sample(1)
    save(tmp_path / f"{one.id}.png", one.picture[:-1])
    results = Results("theirs", tmp_path)
    with pytest.raises(BadImageError, match=r"item 0\.png: is 48x39, the picture is 48x40"):
        list(results.complete([one]))
    with pytest.raises(UserError, match=r"holds no item 1\.png; every item needs a result of its id"):
        results.prepare(manifest(other.id))
    with pytest.raises(UserError, match=r"holds no 0\.png, 1\.png, 2\.png, 3\.png, 4\.png and 5 more;"):
        results.prepare(manifest(*(str(n) for n in range(10))))
    (tmp_path / f"{one.id}.png").write_bytes(b"damaged")
    with pytest.raises(BadImageError, match="cannot be read as a picture"):
        list(results.complete([one]))


def test_two_results_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "deep/a.png", "b.png"):
        save(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="several results are called a; keep one of each"):
        Results("theirs", tmp_path)


def test_contents_of_all_files_are_the_identity_of_results(tmp_path):
    save(tmp_path / "one/a.png", np.zeros((4, 4, 3), np.uint8))
    identity = Results("theirs", tmp_path / "one").identity(8)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert Results("ours", tmp_path / "two").identity(8) == identity
    save(tmp_path / "two/a.png", np.ones((4, 4, 3), np.uint8))
    assert Results("theirs", tmp_path / "two").identity(8) != identity
    shutil.copy(tmp_path / "one/a.png", tmp_path / "one/b.png")
    assert Results("theirs", tmp_path / "one").identity(8) != identity
