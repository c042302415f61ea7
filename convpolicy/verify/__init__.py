"""Whether a policy can be followed, and each role's machine; whether given machines are safe. Pure functions.

`check` is the one question, answered whole, and `decide` the bare decision in it. Below them, each knowing only what
stands before it: `runs`, `values`, `roles`, `coherence`, `exploration`; between the two `evidence`; and after `check`
the questions that are asked less often: `machines`, `evolution`, `links`.
"""
