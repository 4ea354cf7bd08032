"""Composition of the Functions app: every function registered, nothing else."""

import azure.durable_functions as df

from activities import (
    add_target_regions,
    decide_turn,
    delete_image_version,
    install_agent,
    join_host,
    judge_hosts,
    mark_version,
    notify_sessions,
    plan_retirement,
    provision_host,
    quarantine_host,
    query_logs,
    read_image_version,
    read_pool_regions,
    read_running_rollouts,
    release_host,
    remove_host,
    run_smoke_test,
    set_replicas,
    sign_out_sessions,
    start_draining,
    stop_draining,
    update_image_version,
)
from entities import host_pool, image_schedule
from orchestrators import retire_image_versions, roll_host_pool, roll_out_image
from triggers import approvals, commands, image_published, images, retirement, rollouts, scheduled_rollouts, schedules

app = df.DFApp()

for part in (
    image_published,
    schedules,
    scheduled_rollouts,
    rollouts,
    retirement,
    approvals,
    commands,
    images,
    roll_out_image,
    roll_host_pool,
    retire_image_versions,
    host_pool,
    image_schedule,
    decide_turn,
    read_image_version,
    read_pool_regions,
    judge_hosts,
    run_smoke_test,
    query_logs,
    mark_version,
    set_replicas,
    add_target_regions,
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
    read_running_rollouts,
    plan_retirement,
    update_image_version,
    delete_image_version,
):
    app.register_functions(part.bp)
