"""Every recipe in configs/: runs through the real command line, and lists only what differs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sam2_video.cli import main
from sam2_video.configuration import load_config
from sam2_video.configuration.keys import KEYS
from sam2_video.configuration.yaml_reader import read_yaml
from sam2_video.data.synthetic import write_dataset
from sam2_video.files import read_numbers

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))
NAMES = [recipe.stem for recipe in RECIPES]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "data"
    write_dataset(folder, 3, num_videos=2, num_frames=4, size=(48, 64), num_objects=(2, 2))
    return folder


def arguments(recipe, data, output_dir):
    text = (
        f"train --config {recipe} --data-path {data}/videos --dataset.masks-path {data}/masks "
        "--model-config micro --dataset.image-size 64 64 --dataset.num-workers 0 "
        "--dataset.video-clip-length 3 --dataset.val-fraction 0 --prompts.correction-clicks 1 "
        "--accelerator cpu --devices 1 --precision 32-true --trainer.max-steps 1 --max-epochs 1 "
        f"--trainer.pictures-every 0 --no-wandb --output-dir {output_dir}"
    )
    return text.split()


def test_the_recipes_that_were_asked_for_are_there():
    assert set(NAMES) == {
        "memory-only",
        "official-finetune",
        "decoder-only",
        "memory+decoder",
        "lora",
        "small-gpu",
        *(f"gpu-{card}gb" for card in (8, 11, 16, 24, 48, 80)),
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_trains(recipe, data, tmp_path):
    assert main(arguments(recipe, data, tmp_path / "run")) == 0
    (row, *_) = read_numbers(tmp_path / "run/metrics.csv")
    assert row["gradient_norm"] > 0
    # flags of this test aside, the run has what the recipe says
    ran, said = load_config(tmp_path / "run/config.yaml"), load_config(recipe)
    assert (ran.lora, ran.losses) == (said.lora, said.losses)
    assert ran.model.trainable_modules == said.model.trainable_modules
    assert ran.trainer.lr_by_name == said.trainer.lr_by_name


def test_a_recipe_trains_in_a_process_of_its_own(data, tmp_path):
    command = [sys.executable, "train.py"]
    command += arguments("configs/small-gpu.yaml", data, tmp_path / "run")[1:]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/best_model.pth").is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_lists_only_what_differs_and_says_when_to_use_it(recipe):
    entries, problems = read_yaml(recipe)
    assert not problems
    assert load_config(recipe) is not None
    same = [path for path, entry in entries.items() if entry.value == KEYS[path].default]
    assert same == []
    first, second, *_ = recipe.read_text().splitlines()
    assert first.startswith("# ")
    assert len(first) > 40
    assert second.startswith(f"#   python train.py --config configs/{recipe.name} ")


def test_the_default_recipe_is_the_defaults():
    assert load_config(ROOT / "configs/memory-only.yaml") == load_config()


def test_the_official_recipe_is_metas():
    path = ("sam2", "configs", "sam2.1_training", "sam2.1_hiera_b+_MOSE_finetune.yaml")
    sam2 = pytest.importorskip("sam2", reason="Meta's sam2 is not installed")
    omegaconf = pytest.importorskip("omegaconf", reason="Meta's sam2 is not installed")
    meta = omegaconf.OmegaConf.load(Path(sam2.__file__).parent.joinpath(*path[1:]))
    ours = load_config(ROOT / "configs/official-finetune.yaml")
    scratch, optim, model = meta.scratch, meta.trainer.optim, meta.trainer.model
    assert ours.dataset.image_size == [scratch.resolution] * 2
    assert ours.dataset.video_clip_length == scratch.num_frames
    assert ours.dataset.max_objects == scratch.max_num_objects
    assert ours.dataset.clips_per_video == meta.dataset.multiplier
    assert ours.trainer.max_epochs == scratch.num_epochs
    assert ours.trainer.lr == scratch.base_lr
    assert ours.trainer.lr_by_name == {"vision_encoder": scratch.vision_lr}
    assert ours.trainer.layer_decay == optim.param_group_modifiers[0].layer_decay_value
    assert ours.trainer.gradient_clip == optim.gradient_clip.max_norm
    assert ours.trainer.weight_decay == optim.options.weight_decay[0].scheduler.value
    assert ours.model.memory_attention_dropout == model.memory_attention.layer.dropout
    assert ours.prompts.corrected_frames == model.num_frames_to_correct_for_train
    assert ours.prompts.correction_clicks == model.num_correction_pt_per_frame
    weights = meta.trainer.loss["all"].weight_dict
    losses = ours.losses
    assert [losses.focal, losses.dice, losses.iou_prediction, losses.object_score] == [
        weights.loss_mask,
        weights.loss_dice,
        weights.loss_iou,
        weights.loss_class,
    ]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
