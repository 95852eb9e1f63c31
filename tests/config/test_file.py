"""Configuration: published keys, old and new spellings, mistakes."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeconnect.config.file import Config, dump, example, load, refuse_fixed
from edgeconnect.config.presets import preset, presets
from edgeconnect.config.sections import known_keys
from edgeconnect.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = (
    "MODE MODEL MASK EDGE NMS SEED GPU DEBUG VERBOSE "
    "TRAIN_FLIST VAL_FLIST TEST_FLIST TRAIN_EDGE_FLIST VAL_EDGE_FLIST TEST_EDGE_FLIST "
    "TRAIN_MASK_FLIST VAL_MASK_FLIST TEST_MASK_FLIST "
    "LR D2G_LR BETA1 BETA2 BATCH_SIZE INPUT_SIZE SIGMA MAX_ITERS EDGE_THRESHOLD "
    "L1_LOSS_WEIGHT FM_LOSS_WEIGHT STYLE_LOSS_WEIGHT CONTENT_LOSS_WEIGHT INPAINT_ADV_LOSS_WEIGHT GAN_LOSS "
    "SAVE_INTERVAL SAMPLE_INTERVAL EVAL_INTERVAL LOG_INTERVAL SAMPLE_SIZE"
)
NEW = (
    "DEVICE PRECISION NUM_WORKERS BASE_CHANNELS RESIDUAL_BLOCKS EMA_DECAY VGG_WEIGHTS "
    "MASK_THRESHOLD MASK_POLARITY MASK_RATIO ALLOW_LARGE_HOLES GRAD_CLIP GRAD_ACCUMULATION "
    "METHOD PHASES RAW_EDGES ON_BAD_IMAGE BAD_IMAGE_LIMIT MAX_PIXELS SKIP_NONFINITE KEEP_CHECKPOINTS BEST_METRIC "
    "THREADS COMPILE FEATURE_NET EDGE_CACHE "
    "KNOWN_EDGES PREFILL PREFILL_EDGES HALVINGS SKIPS EDGE_ADV_LOSS_WEIGHT EDGE_BCE_LOSS_WEIGHT EDGE_BCE_POSITIVE "
    "LR_SCHEDULE LR_WARM_UP RANDOM_CROP L1_RATIO CORRUPTION MOSAIC_BLOCK MASK_SIDES TV_LOSS_WEIGHT "
    "GLCIC.ADV_LOSS_WEIGHT GLCIC.LOCAL_SIZE "
    "SE_CONTEXTUAL.ADV_LOSS_WEIGHT SE_CONTEXTUAL.CONTEXTUAL_LOSS_WEIGHT SE_CONTEXTUAL.LOCAL_SIZE "
    "PARTIALCONV.VALID_LOSS_WEIGHT PARTIALCONV.HOLE_LOSS_WEIGHT PARTIALCONV.PERCEPTUAL_LOSS_WEIGHT "
    "PARTIALCONV.STYLE_LOSS_WEIGHT PARTIALCONV.TV_LOSS_WEIGHT"
)


def read(tmp_path, text):
    path = tmp_path / "config.yml"
    path.write_text(text)
    return load(path).config


def test_the_list_of_keys_is_frozen():
    """A new key is a decision: add it here and to CHANGELOG."""
    assert sorted(known_keys()) == sorted([*PUBLISHED.split(), *NEW.split()])


def test_example_file_is_what_the_code_says():
    assert (ROOT / "config.yml.example").read_text() == example()


def test_every_key_has_a_meaning_and_the_readme_links_them():
    assert "(config.yml.example)" in (ROOT / "README.md").read_text()
    for name, field in known_keys().items():
        assert field.metadata["comment"].strip(), name
        assert not field.metadata["comment"].startswith("of "), name


def test_example_and_dump_read_back_to_the_defaults(tmp_path):
    assert read(tmp_path, example()) == Config()
    assert read(tmp_path, dump(Config())) == Config()


def test_defaults_are_the_papers_numbers():
    flat = Config().flat()
    wanted = {"LR": 1e-4, "D2G_LR": 0.1, "BETA1": 0, "BETA2": 0.9, "FM_LOSS_WEIGHT": 10, "STYLE_LOSS_WEIGHT": 250}
    wanted |= {"L1_LOSS_WEIGHT": 1, "CONTENT_LOSS_WEIGHT": 0.1, "INPAINT_ADV_LOSS_WEIGHT": 0.1, "GAN_LOSS": "nsgan"}
    assert {key: flat[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("MODEL: 4", "MODEL", "joint"),
        ("MODEL: joint", "MODEL", "joint"),
        ("MODEL: Edge-Inpaint", "MODEL", "edge_inpaint"),
        ("MODEL: all", "MODEL", "all"),
        ("MASK: 3", "MASK", "external"),
        ("MASK: '7'", "MASK", "strokes"),
        ("MASK_RATIO: 0.2-0.4", "MASK_RATIO", (0.2, 0.4)),
        ("MAX_ITERS: 2e6", "MAX_ITERS", 2_000_000),
        ("LR: 1e-4", "LR", 1e-4),
        ("LR: '0.0001'", "LR", 1e-4),
        ("GPU: [1, 2]", "GPU", (1, 2)),
        ("GPU: 0", "GPU", (0,)),
        ("GPU: 0,1", "GPU", (0, 1)),
        ("NMS: 0", "NMS", False),
        ("DEBUG: yes", "DEBUG", True),
        ("TRAIN_FLIST:", "TRAIN_FLIST", ""),
        ("DEVICE: CUDA:1", "DEVICE", "cuda:1"),
        ("SIGMA: -1", "SIGMA", -1),
    ],
)
def test_old_and_new_spellings_are_read(tmp_path, text, key, value):
    assert read(tmp_path, text).flat()[key] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SEED: 1\nBATCHSIZE: 3", r"config\.yml, line 2: unknown key BATCHSIZE; did you mean BATCH_SIZE\?"),
        ("XYZZY: 3", r"line 1: unknown key XYZZY; see config\.yml\.example"),
        ("BATCH_SIZE: eight", "line 1: BATCH_SIZE: 'eight' is no whole number from 1 to 65536"),
        ("BATCH_SIZE: 1.5", "BATCH_SIZE: 1.5 is no whole number"),
        ("LR:", "LR: None is no number"),
        ("MASK: 14", "MASK: 14 is none of: 1 block, 2 half, 3 external"),
        ("GAN_LOSS: wgan", "GAN_LOSS: 'wgan' is none of: nsgan, lsgan, hinge"),
        ("INPUT_SIZE: 20", "INPUT_SIZE: 20 is neither 0 nor 32 or more"),
        ("BETA2: 2", "BETA2: 2 is no number from 0 to below 1"),
        ("LR: 1\nSEED: 1\nLR: 2", r"line 3: LR stands here a second time \(first: line 1\)"),
        ("- LR", "is no list of `KEY: value` lines"),
        ("LR: [", "is not valid YAML"),
        ("LR: !!python/object/apply:os.system [true]", "LR: could not determine a constructor"),
        ("TRAIN_FLIST: [a, b]", "TRAIN_FLIST: .* is no path"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_gan_pool_size_is_accepted_with_a_note(tmp_path):
    path = tmp_path / "config.yml"
    path.write_text("GAN_POOL_SIZE: 0\n")
    loaded = load(path)
    assert loaded.config == Config()
    assert "never did anything" in loaded.notes[0]


def test_fixed_keys_that_a_save_does_not_know_were_at_their_defaults():
    before, after = (
        Config().flat(),
        load(None, [("--set", "PREFILL=harmonic"), ("--set", "LR_WARM_UP=7")]).config.flat(),
    )
    del before["PREFILL"], before["LR_WARM_UP"]
    with pytest.raises(UserError, match="PREFILL white -> harmonic"):
        refuse_fixed(before, after, "it")
    assert refuse_fixed(before, after | {"PREFILL": "white"}, "it") == []


def test_presets_say_what_the_code_knows_and_the_published_one_is_the_default():
    assert {"published", "modern", "modern_small"} <= presets().keys()
    for path in presets().values():
        assert not load(path).notes
    assert load(preset("published")).config == Config()
    named = {name: yaml.safe_load(preset(name).read_text()).keys() for name in ("published", "modern", "modern_small")}
    told = {key for key in named["modern"] | named["modern_small"] if not key.endswith("_INTERVAL")}
    assert told - {"MODEL", "PHASES"} <= named["published"]


def test_overrides_win_and_are_checked():
    assert load(None, [("--set LR=2e-4", "LR=2e-4")]).config.optim.lr == 2e-4
    assert load(None, [("--set MASK_RATIO=[0.1, 0.2]", "MASK_RATIO=[0.1, 0.2]")]).config.data.mask_ratio == (0.1, 0.2)
    for text, said in (("LR", "has no value"), ("LRR=1", "did you mean LR"), ("LR=[", "is no number")):
        with pytest.raises(UserError, match=f"--set {text[:3]}.*{said}"):
            load(None, [(f"--set {text}", text)])


def test_relative_paths_count_from_the_configurations_folder_then_from_here(tmp_path, monkeypatch):
    folder, here = tmp_path / "run", tmp_path / "here"
    for place in (folder, here):
        place.mkdir()
    (folder / "a.flist").touch()
    (here / "a.flist").touch()
    (here / "b.flist").touch()
    (folder / "vgg.pth").touch()
    monkeypatch.chdir(here)
    text = "TRAIN_FLIST: a.flist\nVAL_FLIST: b.flist\nTEST_FLIST: c.flist\nVGG_WEIGHTS: vgg.pth\n"
    (folder / "config.yml").write_text(text)
    config = load(folder / "config.yml").config
    assert config.data.train_flist == str(folder / "a.flist")
    assert config.data.val_flist == str(here / "b.flist")
    assert config.data.test_flist == "c.flist"
    assert config.losses.vgg_weights == str(folder / "vgg.pth")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "SEED": st.integers(0, 2**31),
            "LR": st.floats(0, 1e3),
            "MAX_ITERS": st.integers(0, 10**9),
            "MODEL": st.sampled_from([1, 2, 3, 4, "edge", "joint", "all"]),
            "SIGMA": st.one_of(st.just(-1), st.floats(0, 20)),
            "TRAIN_FLIST": st.text(st.characters(categories=["L", "N"]), max_size=8),
            "NMS": st.booleans(),
        },
    )
)
def test_any_valid_configuration_survives_dump_and_load(values):
    overrides = [(name, f"{name}={value!r}") for name, value in values.items()]
    config = load(None, overrides).config
    entries = [tuple(line.split(": ", 1)) for line in dump(config).splitlines()]
    assert load(None, [(key, f"{key}={value}") for key, value in entries]).config == config


@given(st.text(max_size=40))
def test_any_text_is_a_configuration_or_one_line_of_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("config") / "config.yml"
    path.write_text(text, "utf-8", "surrogatepass", newline="")
    try:
        load(path)
        said = ""
    except UserError as error:
        said = str(error)
    assert "\n" not in said
