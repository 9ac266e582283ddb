"""Two runs beside each other: `moe-eval compare` and the regression gate `moe-eval check`."""
