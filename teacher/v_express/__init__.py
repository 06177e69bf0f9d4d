"""V-Express (arXiv 2406.02511): its released dual UNet as a frozen teacher, in the layout of its weights."""
