"""How data sets lay out their NIfTI volumes: KiTS19, nnU-Net, the Decathlon."""
