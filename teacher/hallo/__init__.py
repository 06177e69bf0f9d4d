"""Hallo (arXiv 2406.08801): its released dual UNet as a frozen teacher, in the layout of its weights."""
