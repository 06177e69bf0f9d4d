"""A family that is unlike all of the package's: no UNet, no VAE, a row of numbers per frame, flows, other branches."""
