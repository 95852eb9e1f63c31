"""Measures of completions: on tensors while training, on 8-bit pictures afterwards."""
