"""What can be done with clusters: one function a verb. Wires everything else together."""
