"""The rules of the fleet server: pure functions over frozen values.

No clock, database, network or randomness: `now` is an argument, and whoever calls loads and saves.

    policy       the words of a rollout file, and what is wrong with one
    assignment   which devices take part in a stage
    deployment   one device within one rollout, as a table of transitions
    evidence     what a gate reads
    statistics   intervals and tests, on devices and not on windows
    gate         evidence -> judgement, with the numbers and a sentence
    rollout      step(rollout, evidence, now) -> (rollout, happenings), and what people may do
    goal         what one device should run
"""
