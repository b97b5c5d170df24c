"""Small checkpoints as train.py writes them, without a training: random weights."""

from pathlib import Path
from typing import Any

import torch

from lightning_modules.checkpoint_files import save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import instantiate_module

GANS = {
    "MultiScale": {"latent_size": 8, "width": 4},
    "DCGAN": {"latent_size": 8, "width": 4},
    "PGGAN": {"latent_size": 8, "width": 4},
    "StyleGAN": {"style_size": 8, "width": 4, "mapping_layers": 1},
    "StyleGAN2": {"style_size": 8, "width": 4, "mapping_layers": 1},
}
GROWING = ("PGGAN", "StyleGAN")
SECRET = "patient_of_the_cache"


def gan(name: str, **more: Any) -> dict[str, Any]:
    """A GAN of 32 px by the name of its networks, with further arguments of the module."""
    return {
        "class_path": f"lightning_modules.{'GrowingGAN' if name in GROWING else 'GAN'}",
        "init_args": {
            "generator": {"class_path": f"networks.{name}Generator", "init_args": GANS[name]},
            "discriminator": {
                "class_path": f"networks.{name}Discriminator",
                "init_args": {"width": 4},
            },
            "image_size": 32,
            **more,
        },
    }


def pix2pix(**more: Any) -> dict[str, Any]:
    """A Pix2Pix of 32 px and three classes."""
    return {
        "class_path": "lightning_modules.Pix2Pix",
        "init_args": {
            "generator": {
                "class_path": "networks.Pix2PixGenerator",
                "init_args": {"width": 4, "noise_channels": 2},
            },
            "discriminator": {
                "class_path": "networks.MultiScalePatchDiscriminator",
                "init_args": {"width": 4},
            },
            "image_size": 32,
            "num_classes": 3,
            **more,
        },
    }


def written(path: Path, model: dict[str, Any], **record: Any) -> Path:
    """A checkpoint of a module with random weights, whose average is not its last weights."""
    torch.manual_seed(1)
    module: Any = instantiate_module(model, path)
    for tensor in module.parameters():
        tensor.data += 0.05 * torch.randn_like(tensor)
    if hasattr(module, "averaged"):
        for tensor in module.averaged.parameters():
            tensor.data += 0.05 * torch.randn_like(tensor)
        module.averaged.images_averaged = 8
    module.images_seen = 8
    if hasattr(module, "growth"):
        module.growth = type(module.growth)(16, 0.5)
    content: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    content[RECORD_KEY] = {
        "model": model,
        "data": {
            "class_path": "datamodules.ChestXrayDataModule",
            "init_args": {"root": "folder_of_Schmidt", "only_label": None},
        },
        "image_size": 32,
        "class_names": [],
        "dataset": "image_folder",
        "split": {
            "by": "patient",
            "split_id": "0" * 64,
            "train": [SECRET, f"{SECRET}_2"],
            "val": [f"{SECRET}_3"],
            "test": [],
        },
        "patient_names": {"named_by": "source", "salt_check": None, "ids": "as_numbers"},
        "pixels": {"train": "MEHKM1YyDQA=", "val": "", "test": "", "has_all": True},
        "also_seen": {"training_patients": []},
        "licences": [{"name": "CC BY 4.0", "data": "Kermany"}],
        "versions": {"understudy": "0"},
        "seed": 0,
        **record,
    }
    save_checkpoint_file(content, path)
    return path


def cyclegan(**more: Any) -> dict[str, Any]:
    """A CycleGAN of 32 px and three classes."""
    return {
        "class_path": "lightning_modules.CycleGAN",
        "init_args": {
            "generator": {
                "class_path": "networks.ResNetGenerator",
                "init_args": {"width": 4, "num_blocks": 1},
            },
            "discriminator": {
                "class_path": "networks.MultiScalePatchDiscriminator",
                "init_args": {"width": 4},
            },
            "image_size": 32,
            "num_classes": 3,
            "pool_size": 2,
            **more,
        },
    }


def infilling(**more: Any) -> dict[str, Any]:
    """A lesion infilling in windows of 32 px out of 64."""
    settings = {
        "image_size": 64,
        "window": 32,
        "margin": 2,
        "class_names": ["background", "kidney", "tumour"],
    }
    model = pix2pix(**{**settings, **more})
    return {**model, "class_path": "lightning_modules.LesionInfilling"}
