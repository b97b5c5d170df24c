"""Prepare raw data once: draw or read it, window it, split the patients, write a cache.

A cache is what train.py, generate.py and evaluate.py read. An interrupted run goes on where it
stopped when the same command is given again; nothing is ever overwritten.
"""

import sys
from collections.abc import Callable, Sequence

from command_line import call, chosen_command, run_verb
from licences import Licence
from preparation.films.assemble import FilmOutcome
from preparation.films.dicom.command import chest_xray, phantom_cxr
from preparation.films.files.command import image_folder
from preparation.films.merge import merge
from preparation.films.summary import print_film_summary
from preparation.left_out import LEFT_OUT_STATUS
from preparation.licence import licence, licence_line
from preparation.synthetic.assemble import SyntheticOutcome
from preparation.synthetic.command import synthetic
from preparation.synthetic.summary import print_synthetic_summary
from preparation.verify import Verification, print_verification, verify
from preparation.volumes.command import kits19, masks, phantom_ct, slices
from preparation.volumes.data_sets.command import nnunet
from preparation.volumes.prepare import SliceOutcome
from preparation.volumes.summary import print_slice_summary
from preparation.volumes.tcia.command import ct_dicom

Outcome = SliceOutcome | FilmOutcome | SyntheticOutcome | Verification | Licence
COMMANDS: dict[str, Callable[..., Outcome]] = {
    "phantom_ct": phantom_ct,
    "kits19": kits19,
    "nnunet": nnunet,
    "ct_dicom": ct_dicom,
    "slices": slices,
    "masks": masks,
    "chest_xray": chest_xray,
    "image_folder": image_folder,
    "phantom_cxr": phantom_cxr,
    "synthetic": synthetic,
    "merge": merge,
    "verify": verify,
    "licence": licence,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; UserErrors are left to `run_verb`.

    Returns 0, 1 for damage, or `LEFT_OUT_STATUS` where files of the source were left out.
    """
    name, flags = chosen_command("prepare.py", __doc__, COMMANDS, arguments)
    result = call(COMMANDS[name], flags)
    if isinstance(result, Licence):
        print(licence_line(result, flags.folder))
        return 0
    if isinstance(result, FilmOutcome):
        print_film_summary(result)
        return LEFT_OUT_STATUS if result.num_left_out else 0
    if isinstance(result, SyntheticOutcome):
        print_synthetic_summary(result)
        return LEFT_OUT_STATUS if result.left_out else 0
    if isinstance(result, SliceOutcome):
        print_slice_summary(result)
        verification = result.verification
        if result.skipped and not (verification is not None and verification.damaged):
            return LEFT_OUT_STATUS
    else:
        print_verification(result)
        verification = result
    return 1 if verification is not None and verification.damaged else 0


if __name__ == "__main__":
    sys.exit(run_verb("prepare.py", main))
