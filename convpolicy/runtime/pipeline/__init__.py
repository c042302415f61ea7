"""Push-pull: who has which task, who has done it, and what came of it.

The first role of the chain has a `Dispatcher` and lends tasks out; the workers of every stage have a `Bench` of
what they hold; the last role has a `Collector` that counts. Those three are plain values without input, output or
clocks. An engine for each kind of role (`source`, `worker`, `sink`) speaks for them in turns, and `batch` and
`stage` are what a program holds.

How a task is counted once though it may be worked on more than once: every loan of a task has a higher `attempt`
number than the ones before. When a loan ends early, the first role asks the last one to *fence* the task: to
refuse lower attempts from now on, or to say that a result was counted already. The last role alone decides, so a
task cannot be both counted and lent out again, or both counted and set aside.
"""
