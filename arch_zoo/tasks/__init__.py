"""Questions that are put to trained models: small registered values, one file each."""
