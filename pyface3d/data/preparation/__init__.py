"""Pictures made ready for training the occlusion-robust regressor: aligned, half hidden, in two sets.

Source: Ju et al., "Complete Face Recovery GAN" (WACV 2022), section 3.1 and its scripts, whose defects are repaired.
"""
