"""One file a question, each with an honest baseline beside ours in the same run.

`python -m benchmarks` runs the short form of all of them; `--full` takes longer and says more.
A benchmark is a module here with `run(short: bool) -> list[Result]`; results/ keeps its numbers.
"""
