"""Converters turn a trained model into bundles for devices, and prove that they still compute it.

The way of one model: `source` loads it, `capture` traces it and keeps it as the reference,
a target (`targets`) lowers it, `quantize` makes it small, `evaluate` compares it with the
reference, `package` writes the bundle. `pipeline.convert` walks that way for one `ConversionPlan`.
"""
