"""What a rollout will probably do, before it does anything: the plan.

The decision function of rollout/ runs against a small model of the pool and its people, many times, each time with
other luck. So the plan cannot tell of another algorithm than the one that will roll. Pure, as rollout/ is, but for
chance, which comes from seeds: the same pool at the same time gives the same plan.
"""
