"""Every method in small: the flags of train.py that make a training of a few seconds.

`GANS`, of films, take each loss of `GAN_LOSSES`; the others bring theirs.
"""

from pathlib import Path

Flags = list[str]


def _gan(config: str, resolution: int, *settings: str) -> Flags:
    return [
        f"--config=configs/chest_xray/{config}.yaml",
        f"--data.resolution={resolution}",
        "--model.generator.width=8",
        "--model.discriminator.width=8",
        *settings,
    ]


_LATENT = "--model.generator.latent_size=8"
_STYLE = ("--model.generator.style_size=8", "--model.generator.mapping_layers=2")
GANS = {
    "se_msg_pggan": _gan("se_msg_pggan", 16, _LATENT, "--model.penalties.r1_every=2"),
    # Of 8 images a step: 4 px, then 8 px at a third and in full, then 16 px alike.
    "pggan": _gan(
        "pggan",
        16,
        _LATENT,
        "--trainer.callbacks.init_args.stage_images=4",
        "--trainer.callbacks.init_args.fade_images=12",
    ),
    # From 8 pixels: 8 px, then 16 px at a third, at two thirds and in full.
    "stylegan1": _gan(
        "stylegan1",
        16,
        *_STYLE,
        "--trainer.callbacks.init_args.stage_images=8",
        "--trainer.callbacks.init_args.fade_images=24",
    ),
    "stylegan": _gan(
        "stylegan",
        16,
        *_STYLE,
        "--model.penalties.r1_every=2",
        "--model.penalties.path_length_every=2",
        "--model.augmentation.probability=0.5",
        "--model.augmentation.ramp_images=200",
    ),
    "dcgan": _gan(
        "dcgan",
        32,
        *(f"--model.{net}.normalization=group" for net in ("generator", "discriminator")),
    ),
}
GAN_LOSSES = {
    "minmax": [],
    "non_saturating": ["--model.penalties.r1=1.0"],
    "wgan_gp": ["--model.penalties.drift=0.001"],
    "hinge": ["--model.gradient_clip_norm=1.0"],
    "ra_hinge": ["--model.penalties.r1=1.0"],
}
BATCH_NORMALISED = ["--model.generator.normalization=batch"]

PIX2PIX = [
    "--config=configs/kits19/pix2pix.yaml",
    "--model.generator.width=4",
    "--model.generator.noise_channels=3",
    "--model.generator.pixel_noise=true",
    "--model.discriminator.width=4",
    "--model.discriminator.num_layers=2",
    "--model.discriminator.num_scales=2",
    "--model.feature_matching_weight=1.0",
    "--model.gradient_clip_norm=1.0",
]
LESIONS = [
    "--config=configs/kits19/lesions.yaml",
    "--model.generator.width=4",
    "--model.discriminator.width=4",
    "--model.discriminator.num_layers=1",
    "--model.margin=2",
    "--model.gradient_clip_norm=1.0",
]
SEGMENTER = [
    "--config=configs/kits19/unet_light.yaml",
    "--model.network.width=8",
    "--model.network.depth=2",
    "--model.gradient_clip_norm=1.0",
    "--model.decay_from=0.5",
]
# Both classes of one cache; a pool that is full after the first of five steps.
CYCLEGAN = [
    "--config=configs/chest_xray/cyclegan.yaml",
    "--data.source=null",
    "--data.source_label=normal",
    "--data.target_label=abnormal",
    *("--model.generator.width=4", "--model.generator.num_blocks=1"),
    *("--model.discriminator.width=4", "--model.discriminator.num_layers=2"),
    "--model.pool_size=6",
    "--model.gradient_clip_norm=1.0",
]
_SMALL_VGG = [
    "--model.network.width=4",
    "--model.network.hidden=8",
    "--model.network.pooled_size=1",
    "--model.network.dropout=0.0",
    "--model.learning_rate=0.001",
    "--model.label_smoothing=0.1",
    "--model.layerwise_decay=0.7",
    "--model.weight_decay=0.01",
]
CLASSIFIER = [
    "--config=configs/chest_xray/vgg16.yaml",
    "--trainer.callbacks=[]",
    "--model.class_weights=balanced",
    *_SMALL_VGG,
]
RESNET = ["--config=configs/chest_xray/resnet18.yaml", "--trainer.callbacks=[]"]
FINDINGS_CLASSIFIER = [
    "--config=configs/chest_xray/resnet18_findings.yaml",
    "--model.network=networks.VGG16",
    *_SMALL_VGG,
]


def gan(name: str, loss: str, *extra: str) -> Flags:
    """Flags of a GAN with one of the losses."""
    return [
        *GANS[name],
        f"--model.loss={loss}",
        *GAN_LOSSES[loss],
        "--distance.num_images=6",
        *extra,
    ]


def in_float64(method: Flags, cache: Path, run_folder: Path, *extra: str) -> Flags:
    """One epoch of five steps with 8 images each, so that each of two processes has 4.

    What the method and `extra` say comes later, and wins.
    """
    config, *own = method
    return [
        "fit",
        config,
        f"--data.root={cache}",
        "--data.batch_size=8",
        "--data.images_per_epoch=40",
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=1",
        "--trainer.log_every_n_steps=2",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        f"--run_folder={run_folder}",
        *own,
        *extra,
    ]
