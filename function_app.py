"""Composition of the Functions app: every function registered, nothing else."""

import azure.durable_functions as df

from activities import (
    decide_turn,
    install_agent,
    join_host,
    judge_hosts,
    mark_version,
    notify_sessions,
    provision_host,
    quarantine_host,
    read_image_version,
    read_pool_regions,
    release_host,
    remove_host,
    run_smoke_test,
    sign_out_sessions,
    start_draining,
    stop_draining,
)
from entities import host_pool
from orchestrators import roll_host_pool, roll_out_image
from triggers import approvals, image_published, rollouts, schedules

app = df.DFApp()

for part in (
    image_published,
    schedules,
    rollouts,
    approvals,
    roll_out_image,
    roll_host_pool,
    host_pool,
    decide_turn,
    read_image_version,
    read_pool_regions,
    judge_hosts,
    run_smoke_test,
    mark_version,
    provision_host,
    join_host,
    install_agent,
    start_draining,
    stop_draining,
    release_host,
    notify_sessions,
    sign_out_sessions,
    remove_host,
    quarantine_host,
):
    app.register_functions(part.bp)
