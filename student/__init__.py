"""What is distilled: CFG layers, the mixed loss, the distillation objective, the pipeline that generates."""
