"""predict.py on slices and volumes: the network's labels, in the geometry of each source."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from datamodules.slice_cache import SliceCache
from evaluation.checkpoint import open_checkpoint
from prediction.items import find_items
from prediction.label_files import affine_of
from prediction.model import open_model
from prediction.output_names import output_of
from prediction.source_grid import on_source_grid
from prediction.volumes import ReadSlices, SliceInput
from preparation.volumes.geometry import fit_image, outline_of
from preparation.volumes.grey_values.channel import Channel
from preparation.volumes.layout import Layout
from tests.evaluation.test_segmentation import write_checkpoint
from tests.nnunet_sets import write_decathlon, write_nnunet
from tests.prediction.test_films import rows_of, run
from tests.preparation.volumes.test_ct_dicom import make_study, write_slice
from tests.prepare_runs import AFFINE, kits19
from tests.prepare_runs import run as prepare

WINDOW = {"width_hu": 400.0, "center_hu": 0.0}


def segmenter(path: Path, root: Path, **record: Any) -> Path:
    cache = SliceCache.open(root)
    told = {"image_form": cache.image_form, "preparation": cache.preparation, **record}
    return write_checkpoint(path, root, **told)


def blocks(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """HU in squares of 4 pixels, so that an untrained network marks more than noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(-300, 300, (shape[0], -(-shape[1] // 4), -(-shape[2] // 4)))
    return coarse.repeat(4, 1).repeat(4, 2)[:, : shape[1], : shape[2]].astype(np.int16)


@pytest.fixture(scope="module")
def nifti(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A source of four volumes, its cache at twice their size, and a model of it."""
    folder = tmp_path_factory.mktemp("nifti")
    for number in range(4):
        case = folder / "source" / f"case_{number:05d}"
        case.mkdir(parents=True)
        image = blocks((3, 16, 16), number)
        nib.save(nib.Nifti1Image(image, AFFINE), case / "imaging.nii.gz")
        nib.save(nib.Nifti1Image((image > 100).astype(np.uint8), AFFINE), case / "segmentation.nii")
    flags = ("--image-size", "32", "--split-all-to", "test")
    assert kits19(folder / "source", folder / "cache", *flags) == 0
    return (
        folder / "source",
        folder / "cache",
        segmenter(folder / "best.ckpt", folder / "cache"),
    )


def read_slices(model: Any, window: tuple[float, float] | None = (400.0, 0.0)) -> ReadSlices:
    return ReadSlices(model.slice_layout(window), True, False)


# ---- as prepare.py and evaluate.py ---------------------------------------------------------------


def test_volumes_give_the_probabilities_that_evaluate_has(
    nifti: tuple[Path, Path, Path],
) -> None:
    source, root, path = nifti
    opened = open_checkpoint(path, root, "test", 64, 0, "cpu", slices="all")
    (batch,) = opened.datamodule.evaluation_loader("test")
    expected = opened.logits(batch).softmax(dim=1)
    assert expected.argmax(dim=1).unique().numel() > 1
    model = open_model(path, None, "cpu")
    read = read_slices(model)
    assert model.window == (400.0, 0.0)
    found = []
    for item in find_items(source, of_films=False).items:
        if "imaging" in item.name:
            made = read(item)
            assert isinstance(made, SliceInput)
            found.append(model.slice_probabilities(made.slices))
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=0)


def test_nifti_in_nifti_out_with_the_affine_of_its_source(
    nifti: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Turned, sheared, named and without geometry: labels lie on the voxels that they are of."""
    source, _, path = nifti
    scans = tmp_path / "scans"
    scans.mkdir()
    image = nib.load(source / "case_00000/imaging.nii.gz")
    turned = nib.as_closest_canonical(image)
    turned.header["descrip"] = b"Doe^Jane"
    turned.set_qform(turned.affine, 1)
    nib.save(turned, scans / "turned.nii.gz")
    nib.save(image, scans / "own.nii.gz")
    silent = nib.Nifti1Image(np.asarray(image.dataobj), None)
    silent.header.set_zooms((3.0, 0.8, 0.7))
    nib.save(silent, scans / "silent.nii")
    assert run("--checkpoint", path, "--source", scans, "--out", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    maps = {name: nib.load(tmp_path / "out" / row["label_map"]) for name, row in rows.items()}
    for name, labels in maps.items():
        of_source = nib.load(scans / name)
        np.testing.assert_array_equal(labels.affine, of_source.affine)
        assert labels.shape == of_source.shape
        assert labels.get_data_dtype() == np.uint8
        for code in ("qform_code", "sform_code"):
            assert labels.header[code] == of_source.header[code]
        assert labels.header.get_zooms() == of_source.header.get_zooms()
        assert b"Doe" not in labels.header.binaryblock
    back = nib.as_closest_canonical(maps["own.nii.gz"])
    np.testing.assert_array_equal(back.get_fdata(), maps["turned.nii.gz"].get_fdata())
    voxels = {name: int((labels.get_fdata() == 1).sum()) for name, labels in maps.items()}
    assert voxels["own.nii.gz"] > 0
    for name, row in rows.items():
        assert int(row["voxels_kidney"]) == voxels[name]
    voxel_ml = 3.0 * 0.8 * 0.7 / 1000
    assert float(rows["turned.nii.gz"]["ml_kidney"]) == pytest.approx(
        voxels["turned.nii.gz"] * voxel_ml, abs=1e-4
    )
    assert rows["silent.nii"]["ml_kidney"] == ""
    told = json.loads((tmp_path / "out/predictions.json").read_text())
    assert any("learnt from others" in note for note in told["notes"])


def test_pictures_of_the_size_of_training_get_the_network_s_own_labels(tmp_path: Path) -> None:
    source = tmp_path / "pairs"
    for kind in ("image", "label"):
        (source / kind).mkdir(parents=True)
    lines = ["file,case,slice"]
    for number in range(3):
        grey = ((blocks((1, 32, 32), number)[0] + 300) // 3).astype(np.uint8)
        Image.fromarray(grey).save(source / f"image/{number}.png")
        Image.fromarray((grey > 150).astype(np.uint8)).save(source / f"label/{number}.png")
        lines.append(f"{number}.png,{number},0")
    (source / "index.csv").write_text("\n".join(lines))
    assert prepare("slices", "--source", source, "--out", tmp_path / "cache",
                   "--split-all-to", "test", "--keep-patient-names") == 0  # fmt: skip
    path = segmenter(tmp_path / "best.ckpt", tmp_path / "cache")
    opened = open_checkpoint(path, tmp_path / "cache", "test", 8, 0, "cpu", slices="all")
    (batch,) = opened.datamodule.evaluation_loader("test")
    expected = opened.logits(batch).argmax(dim=1).numpy()
    out = tmp_path / "out"
    assert run("--checkpoint", path, "--source", source / "image", "--out", out) == 0
    for number, row in enumerate(rows_of(out).values()):
        with Image.open(out / row["label_map"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), expected[number])
        assert (row["slices"], row["ml_kidney"]) == ("1", "")
        assert (out / row["overlay"]).is_file()


# ---- DICOM series --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """One series of slices that are no squares, its cache, and a model of it."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder / "one", num=5, shape=(24, 32))
    for path, image in zip(sorted((folder / "one/PATIENT_DICOM").iterdir()), blocks((5, 24, 32)),
                           strict=True):  # fmt: skip
        dataset = pydicom.dcmread(path)
        dataset.PixelData = (image + 1024).astype(np.uint16).tobytes()
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.9", "1.2.8"
        dataset.save_as(path)
    assert prepare("ct_dicom", "--source", folder / "one", "--out", folder / "cache",
                   "--image-size", 32) == 0  # fmt: skip
    return (
        folder / "one/PATIENT_DICOM",
        folder / "cache",
        segmenter(folder / "best.ckpt", folder / "cache"),
    )


def test_series_give_the_probabilities_that_evaluate_has(study: tuple[Path, Path, Path]) -> None:
    source, root, path = study
    opened = open_checkpoint(path, root, "test", 64, 0, "cpu", slices="all")
    (batch,) = opened.datamodule.evaluation_loader("test")
    model = open_model(path, None, "cpu")
    (item,) = find_items(source, of_films=False).items
    assert (item.name, item.kind, len(item.paths)) == ("PATIENT_DICOM", "series", 5)
    made = read_slices(model)(item)
    assert isinstance(made, SliceInput)
    found = model.slice_probabilities(made.slices)
    torch.testing.assert_close(found, opened.logits(batch).softmax(dim=1), atol=1e-5, rtol=0)


def test_a_series_becomes_nifti_or_a_segmentation_in_its_own_place(
    study: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Every marked voxel lies where the slice with its SOPInstanceUID has it."""
    source, _, path = study
    flags = ("--checkpoint", path, "--source", source)
    assert run(*flags, "--out", tmp_path / "nifti") == 0
    assert run(*flags, "--out", tmp_path / "seg", "--format", "dicom_seg") == 0
    (row,) = rows_of(tmp_path / "nifti").values()
    labels = nib.load(tmp_path / "nifti" / row["label_map"])
    slices = sorted((pydicom.dcmread(file) for file in source.iterdir()),
                    key=lambda one: one.ImagePositionPatient[2])  # fmt: skip
    assert labels.shape == (32, 24, 5)
    np.testing.assert_allclose(labels.affine, affine_of(slices))
    # By hand: column 3, row 2, slice 4 in the patient's x to the left, y to the back, z up.
    place = np.array([3 * 0.7, 2 * 0.8, float(slices[4].ImagePositionPatient[2])])
    np.testing.assert_allclose(labels.affine @ [3, 2, 4, 1], [-place[0], -place[1], place[2], 1])
    values = labels.get_fdata().astype(np.uint8)
    assert set(np.unique(values)) > {0}
    for file in (tmp_path / "nifti").rglob("*.*"):  # nobody's name is handed on
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else b""
        assert not any(name in content + file.read_bytes() for name in (b"MRN-4711", b"Doe"))
    (told,) = rows_of(tmp_path / "seg").values()
    made = pydicom.dcmread(tmp_path / "seg" / told["label_map"])
    assert (made.Modality, made.PatientID, made.StudyInstanceUID) == ("SEG", "MRN-4711", "1.2.9")
    assert made.FrameOfReferenceUID == "1.2.8"
    assert [str(one.SegmentLabel) for one in made.SegmentSequence] == ["kidney", "tumour"]
    seen = np.zeros_like(values)
    order = {one.SOPInstanceUID: number for number, one in enumerate(slices)}
    frames = made.pixel_array.reshape(-1, 24, 32)
    for frame, of_frame in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        of_source = of_frame.DerivationImageSequence[0].SourceImageSequence[0]
        label = of_frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        seen[..., order[of_source.ReferencedSOPInstanceUID]][frame.T > 0] = label
    np.testing.assert_array_equal(seen, values)
    assert told["voxels_kidney"] == row["voxels_kidney"]
    assert float(row["ml_kidney"]) == pytest.approx(
        int(row["voxels_kidney"]) * 0.8 * 0.7 * 2.5 / 1000, abs=1e-4
    )


def test_turned_slices_get_their_labels_turned_back(
    study: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """The same pixels, filed with columns to the front: the same labels, filed likewise."""
    source, _, path = study
    turned = tmp_path / "turned"
    for file in source.iterdir():
        one = pydicom.dcmread(file)
        filed = np.ascontiguousarray(one.pixel_array[::-1].T)
        reach = 0.8 * (one.Rows - 1)
        z = float(one.ImagePositionPatient[2])
        write_slice(
            turned / file.name, filed, z, orientation=(0, -1, 0, 1, 0, 0), intercept=-1024,
            ImagePositionPatient=[0, reach, z], PixelSpacing=[0.7, 0.8],
        )  # fmt: skip
    maps = []
    for name, folder in (("own", source), ("turned", turned)):
        assert run("--checkpoint", path, "--source", folder, "--out", tmp_path / f"o_{name}") == 0
        (row,) = rows_of(tmp_path / f"o_{name}").values()
        maps.append(nib.as_closest_canonical(nib.load(tmp_path / f"o_{name}" / row["label_map"])))
    np.testing.assert_allclose(maps[0].affine, maps[1].affine, atol=1e-6)
    np.testing.assert_array_equal(maps[0].get_fdata(), maps[1].get_fdata())


def test_a_mixed_folder_is_sorted_out_and_what_is_wrong_is_listed(
    study: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    source, _, path = study
    mixed = tmp_path / "mixed"
    shutil.copytree(source, mixed / "a")
    files = sorted((mixed / "a").iterdir(), key=lambda file: pydicom.dcmread(file).SOPInstanceUID)
    shutil.copytree(source, mixed / "hole")
    middle = sorted((mixed / "hole").iterdir(), key=lambda file: float(
        pydicom.dcmread(file).ImagePositionPatient[2]))[2]  # fmt: skip
    middle.unlink()
    write_slice(mixed / "a/film.dcm", np.ones((20, 20), np.uint16), 0, series="7", Modality="CR")
    (mixed / "a/broken.dcm").write_bytes(files[0].read_bytes()[:400])
    (mixed / "page.dcm").write_text("<html>")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 60_000, (24, 24), np.uint16)).save(mixed / "deep.png")
    Image.fromarray(random.integers(0, 255, (24, 24, 3), np.uint8)).save(mixed / "rgb.png")
    Image.fromarray(random.integers(0, 255, (24, 24), np.uint8)).save(mixed / "grey.png")
    out = tmp_path / "out"
    assert run("--checkpoint", path, "--source", mixed, "--out", out, "--overlays", "false") == 3
    rows = rows_of(out)
    assert len(rows) == 2
    assert "whose window is not known; the checkpoint was trained on 400 HU" in rows["grey.png"][
        "note"
    ]  # fmt: skip
    reasons = {name: row["reason"] for name, row in rows_of(out, "left_out.csv").items()}
    for name, words in (
        ("hole", "lacks 1 slice(s)"),
        ("a/film.dcm", "is of modality CR, expected CT"),
        ("page.dcm", "is no DICOM file"),
        ("deep.png", "expected 8-bit grey"),
        ("rgb.png", "expected 8-bit grey"),
    ):
        assert words in reasons[name]
    assert "a/broken.dcm" in reasons
    assert not (out / "overlays").exists()


# ---- windows and grids ---------------------------------------------------------------------------


def test_a_window_is_the_training_s_or_said_and_never_guessed(
    study: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root, path = study
    form = {"kind": "slices", "window": None, "resample": None, "image_size": 32}
    silent = segmenter(tmp_path / "silent.ckpt", root, image_form=form)
    hu = ("--window-width-hu", 400, "--window-center-hu", 0)
    assert run("--checkpoint", silent, "--source", source, "--out", tmp_path / "no") == 3
    (left_out,) = rows_of(tmp_path / "no", "left_out.csv").values()
    assert "window is not known. Left out; say which" in left_out["reason"]
    assert run("--checkpoint", silent, "--source", source, "--out", tmp_path / "yes", *hu) == 0
    (said,) = rows_of(tmp_path / "yes").values()
    assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "own", *hu) == 0
    (own,) = rows_of(tmp_path / "own").values()
    assert "given by hand" in said["note"]
    assert "given by hand" not in own["note"]
    assert said["voxels_kidney"] == own["voxels_kidney"]
    for flags, sentence in (
        ((*hu[:3], 50), "the checkpoint was trained with 400 HU around 0 HU"),
        (hu[:2], "give both"),
        (("--threshold", "0.3"), "--threshold: is a setting of classifiers"),
        (("--grad-cam",), "--grad-cam: is a setting of classifiers"),
        (("--view", "PA"), "--view: is a setting of classifiers of films"),
    ):
        assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "x", *flags) == 2
        assert sentence in capsys.readouterr().err


def test_a_generator_is_refused(
    nifti: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root, _ = nifti
    path = write_checkpoint(tmp_path / "gan.ckpt", root, class_path="lightning_modules.Pix2Pix")
    assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "o") == 2
    assert "holds a Pix2Pix, which makes images and predicts nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "spacing", "size"),
    [((40, 40), None, 20), ((40, 24), None, 80), ((30, 61), None, 16), ((20, 40), (2.0, 1.0), 32)],
)
def test_the_way_back_ends_where_the_way_there_began(
    shape: tuple[int, int], spacing: tuple[float, float] | None, size: int
) -> None:
    """A box that is fitted and brought back lies on itself, but for its edge."""
    outline = outline_of(shape, spacing, resample=True)
    box = np.zeros(shape, np.uint8)
    rows, columns = slice(shape[0] // 5, shape[0] // 2), slice(shape[1] // 2, shape[1] * 4 // 5)
    box[rows, columns] = 255
    fitted = torch.from_numpy(fit_image(box, size, None, outline)).float() / 255
    labels = on_source_grid(torch.stack([1 - fitted, fitted])[None], shape, outline)
    assert labels.shape == (1, *shape)
    wrong = np.argwhere((labels[0].numpy() > 0) != (box > 0))
    edges = [np.array([one.start, one.stop]) - 0.5 for one in (rows, columns)]
    reach = max(1.0, max(outline) / size)  # of a pixel of the network, in those of the source
    for place in wrong:
        assert min(np.abs(edge - at).min() for edge, at in zip(edges, place, strict=True)) <= reach
    found = np.argwhere(labels[0].numpy() > 0).mean(axis=0)
    np.testing.assert_allclose(found, np.argwhere(box > 0).mean(axis=0), atol=0.5)


def test_names_of_what_is_written_are_those_of_the_images() -> None:
    assert output_of("label_maps", "a/scan.nii.gz", ".nii.gz") == "label_maps/a/scan.nii.gz"
    assert output_of("label_maps", "scan.nii", ".nii.gz") == "label_maps/scan.nii.nii.gz"
    assert output_of("overlays", "scan.jpg", ".png") == "overlays/scan.jpg.png"
    long = [output_of("overlays", letter * 250, ".png") for letter in "ab"]
    assert all(len(Path(one).name) <= 200 for one in long)
    assert output_of("o", "x" * 250 + "1", ".png") != output_of("o", "x" * 250 + "2", ".png")


@pytest.mark.parametrize(
    ("layout", "channels"),
    [("nnunet", ("CT", "T1")), ("decathlon", ("CT", "T1")), ("nnunet", ("T1",))],
)
def test_channels_and_mri_are_prepared_as_for_the_training(
    layout: str, channels: tuple[str, ...], tmp_path: Path
) -> None:
    """nnU-Net's files for each channel, the Decathlon's one file, and percentiles of MRI alone."""
    write = {"nnunet": write_nnunet, "decathlon": write_decathlon}[layout]
    source = write(tmp_path / "source", channels=channels)
    root = tmp_path / "cache"
    assert prepare("nnunet", "--source", source, "--out", root, "--split-all-to", "test",
                   "--keep-patient-names") == 0  # fmt: skip
    path = segmenter(tmp_path / "best.ckpt", root, num_classes=4)
    opened = open_checkpoint(path, root, "test", 64, 0, "cpu", slices="all")
    (batch,) = opened.datamodule.evaluation_loader("test")
    expected = opened.logits(batch).softmax(dim=1)
    model = open_model(path, None, "cpu")
    read, found = read_slices(model, None), []
    items = find_items(source / "imagesTr", of_films=False, channels=channels).items
    for item in items:
        made = read(item)
        assert isinstance(made, SliceInput)
        found.append(model.slice_probabilities(made.slices))
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=0)
    out = tmp_path / "out"
    picture = np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)
    Image.fromarray(picture).save(source / "imagesTr/picture.png")
    assert run("--checkpoint", path, "--source", source / "imagesTr", "--out", out) == 3
    assert list(rows_of(out)) == [item.name for item in items]
    (left_out,) = rows_of(out, "left_out.csv").values()
    assert "channels (" in left_out["reason"]
    for item, row in zip(items, rows_of(out).values(), strict=True):
        labels, first = nib.load(out / row["label_map"]), nib.load(item.paths[0])
        assert labels.shape == first.shape[:3]
        np.testing.assert_array_equal(labels.affine, first.affine)
    hu = ("--window-width-hu", 400, "--window-center-hu", 0)
    assert run("--checkpoint", path, "--source", source, "--out", tmp_path / "no", *hu) == 2


def test_a_channel_that_is_missing_is_named_by_the_file_that_is_there(tmp_path: Path) -> None:
    """Of files for each channel; one of four axes holds them all, whatever it is called."""
    three, four = np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4, 2), np.int16)
    for name, voxels in (
        ("whole_0000", three), ("whole_0001", three), ("lone_0000", three), ("other_0001", three),
        ("other_0002", three), ("scan_0001", four), ("scan_0002", four), ("mine", four),
    ):  # fmt: skip
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    found = find_items(tmp_path, of_films=False, channels=("CT", "T2"))
    named = {item.name: len(item.paths) for item in found.items}
    assert named == {
        "mine.nii.gz": 1, "scan_0001.nii.gz": 1, "scan_0002.nii.gz": 1, "whole.nii.gz": 2
    }  # fmt: skip
    expected = "expected 0000, 0001 of the channels CT, T2. Left out."
    assert found.left_out == [
        ("lone_0000.nii.gz", f"is of an image of which 0001 (T2) is missing: {expected}"),
        (
            "other_0001.nii.gz",
            "is of an image of which 0000 (CT) is missing, and 0002 is no channel of the "
            f"training: {expected}",
        ),
    ]
    (lone,) = find_items(tmp_path / "lone_0000.nii.gz", False, ("CT", "T2")).left_out
    assert "0001 (T2) is missing" in lone[1]


def test_a_channel_that_looks_like_no_ct_is_asked_about_its_place(tmp_path: Path) -> None:
    greys = np.random.default_rng(0).integers(0, 500, (4, 8, 8)).astype(np.int16)
    for place in range(2):
        nib.save(nib.Nifti1Image(greys, np.eye(4)), tmp_path / f"a_{place:04d}.nii.gz")
    channels = (Channel("CT", (400.0, 40.0)), Channel("T2", None))
    layout = Layout("new", 8, None, "pad", True, channels=channels)
    (item,) = find_items(tmp_path, False, ("CT", "T2")).items
    made = ReadSlices(layout, own_window=True, variable_spacing=False)(item)
    assert isinstance(made, SliceInput)
    (note,) = [note for note in made.notes if "Hounsfield" in note]
    assert "are the channels in the order of the training (CT, T2)?" in note
    assert "--window" not in note
