"""What peers do, each as its documentation shows it: `python FILE FLOAT.onnx SAMPLES.npz OUT.onnx`.

Run by an environment that has the peer; imports nothing of EdgeKit. The samples are ready tensors.
"""
