"""CT series in folders as archives hand them out (Subject/Study/Series), with masks as NIfTI."""
