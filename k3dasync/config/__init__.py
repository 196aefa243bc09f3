"""Config files: k3d's formats, v1alpha2 to v1alpha5, to a spec and back.

    text → expansion → tree → spelling → validation → migration → reading → ClusterSpec
                                                     document ← writing ← ClusterSpec

Everything is pure but `source`, which reads the file, and `loading.load`, which calls it.
"""
